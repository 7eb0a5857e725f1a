"""What all pages of the dashboard share in one process.

Made once at start from the parts of the process; it holds nothing of any person: who is signed in
is asked of the database for each request.
"""

from collections.abc import Callable, Sequence

from clawback.dashboard.brakes import Brakes
from clawback.dashboard.passwords import Passwords
from clawback.dashboard.rendering import Pages
from clawback.dashboard.statics import load
from clawback.http.addresses import Peers
from clawback.http.app import Table
from clawback.http.limits import Buckets
from clawback.route import Route, Services
from clawback.settings import Settings


class House:
    """The shared things."""

    def __init__(
        self,
        services: Services,
        settings: Settings,
        calls: Sequence[Route],
        *,
        processes: int,
        is_stopping: Callable[[], bool],
    ) -> None:
        """`calls`: the API's routes. `is_stopping`: whether the process drains.

        Raises: VendoredFileChanged.
        """
        self.services = services
        self.settings = settings
        self.table = Table(calls)
        self.files = load()
        self.pages = Pages(self.files)
        self.brakes = Brakes(processes)
        self.buckets = Buckets(processes)
        self.passwords = Passwords()
        self.peers = Peers(settings.trusted_proxies)
        self.is_stopping = is_stopping
        self.is_secure = settings.behind_proxy or settings.public_url.startswith("https://")
