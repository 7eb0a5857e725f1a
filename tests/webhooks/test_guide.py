"""What the guide tells receivers to write does what it says, as written.

The Python of docs/guides/webhooks.md is run on deliveries signed by the product.
"""

import re
from typing import Any

from clawback import clock
from clawback.signatures import signed_headers
from tests.support.trees import ROOT
from tests.webhooks.stage import SECRET


def test_the_receiver_of_the_guide_takes_ours_and_no_others() -> None:
    text = (ROOT / "docs/guides/webhooks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", text)
    seen: dict[str, bytes] = {}
    names: dict[str, Any] = {"remember": seen.setdefault}
    exec(code, names)  # noqa: S102 - our own document
    receive = names["receive"]
    body = b'{"hello":"claim"}'
    headers = signed_headers(SECRET, message_id="evt_1", at=clock.real_now(), body=body)
    assert receive(headers, body, SECRET) == 204
    assert seen == {"evt_1": body}
    assert receive(headers, body + b" ", SECRET) == 401
    for name, value in (("webhook-signature", "nonsense"), ("webhook-signature", "v1,é"),
                        ("webhook-timestamp", "soon"), ("webhook-timestamp", "1")):  # fmt: skip
        assert receive({**headers, name: value}, body, SECRET) == 401
    assert len(seen) == 1
