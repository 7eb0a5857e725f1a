// What pages do beside showing: keys, dialogs, live news, charts. Every page works without it.
// Nothing here adds money: what is shown was reckoned by the server.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const body = document.body;
  const dialog = $("#dialog");
  let leaving = false;

  // Dialogs: a link or GET form marked data-dialog is loaded into the dialog, not gone to.

  const load = async (url) => {
    await htmx.ajax("GET", url, { target: "#dialog-body", select: "#card", swap: "innerHTML" });
    if (!$("#card", dialog)) { location.assign(url); return; }
    if (!dialog.open) dialog.showModal();
    const first = $("[autofocus], input:not([type=hidden]), textarea, select, button", dialog);
    if (first) first.focus();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    const plain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button);
    if (link && dialog && plain) { event.preventDefault(); load(link.href); return; }
    if (event.target.closest("[data-close]") && dialog && dialog.open) { event.preventDefault(); dialog.close(); }
    const copy = event.target.closest("[data-copy]");
    if (copy) navigator.clipboard.writeText(copy.dataset.copy);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("form[data-dialog]") && dialog && dialog.open) {
      event.preventDefault();
      load(`${form.action}?${new URLSearchParams(new FormData(form))}`);
    } else if (form.method === "get") {
      leaving = true;
    } else if (form.method === "post") {
      // A second click must not send twice; the server would know it by its key all the same.
      setTimeout(() => { for (const one of form.querySelectorAll("button")) one.disabled = true; });
    }
  });
  // Who goes to another page needs no part of this one any more.
  document.addEventListener("htmx:beforeRequest", (event) => { if (leaving) event.preventDefault(); });
  addEventListener("pageshow", () => {
    leaving = false;
    for (const one of document.querySelectorAll("form button:disabled")) one.disabled = false;
  });

  // A chosen file goes into the field that the form sends.

  document.addEventListener("change", async (event) => {
    const picked = event.target.closest("[data-into]");
    if (picked && picked.files[0]) picked.form.elements[picked.dataset.into].value = await picked.files[0].text();
  });

  // Keys.

  const rows = () => [...document.querySelectorAll("[data-row]")];
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("at"));
    const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
    for (const row of all) row.classList.toggle("at", row === next);
    const link = $("a", next);
    if (link) link.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  const press = (key) => {
    const link = $(`[data-key="${key}"]`);
    if (link) link.click();
    return Boolean(link);
  };

  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || event.isComposing) return;
    const typed = event.target.closest("input, textarea, select, dialog[open]");
    if (typed && typed.getClientRects().length) return; // focus leaves a closed dialog a moment late
    const acts = {
      "/": () => { const field = $("[data-search]"); if (field) { field.focus(); field.select(); return true; } location.assign(`${body.dataset.base}/payments#search`); return true; },
      j: () => { move(1); return true; },
      k: () => { move(-1); return true; },
      r: () => press("r"),
      a: () => press("a"),
      "?": () => { $("#keys-help").showModal(); return true; },
    };
    if (acts[event.key] && acts[event.key]()) event.preventDefault();
  });
  if (location.hash === "#search" && $("[data-search]")) $("[data-search]").focus();

  // Live: the server says that the book has changed; parts that listen fetch themselves anew. What
  // is typed stands in other parts, the focus is put back, and a hidden page asks for nothing. What
  // happened between the page's reads and the first news is news too: the page knows what it knew.

  const current = $(".pages [aria-current=page]");
  if (current && matchMedia("(max-width: 56rem)").matches) current.scrollIntoView({ block: "nearest", inline: "center" });

  let source = null;
  let known = Number(body.dataset.known);
  const listen = () => {
    if (document.hidden || !body.dataset.live) { if (source) source.close(); source = null; return; }
    if (source) return;
    source = new EventSource(body.dataset.live);
    source.onmessage = (event) => {
      const number = Number(event.data);
      if (number > known) { known = number; htmx.trigger(body, "clawback:changed"); }
      body.dataset.heard = event.data;
    };
    source.addEventListener("end", () => { source.close(); source = null; });
  };
  document.addEventListener("visibilitychange", listen);
  listen();

  let focused = null;
  let unfolded = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    unfolded = [...event.detail.target.querySelectorAll("details[open][id]")].map((one) => one.id);
    const link = document.activeElement;
    focused = link && event.detail.target.contains(link) ? link.getAttribute("href") : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of unfolded) { const one = document.getElementById(id); if (one) one.open = true; }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (focused) {
      const again = [...document.querySelectorAll("a[href]")].find((one) => one.getAttribute("href") === focused);
      if (again) { again.focus({ preventScroll: true }); const row = again.closest("[data-row]"); if (row) row.classList.add("at"); }
      focused = null;
    }
    const said = $("#said");
    if (said && event.detail.target && event.detail.target.id === "live") said.textContent = said.dataset.fresh;
    draw();
  });

  // Charts, loaded only where there is one. The table beside says the same.

  let library = null;
  const charts = (place) => {
    library ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.nonce = $("script[nonce]").nonce;
      script.src = place.dataset.charts;
      script.integrity = place.dataset.integrity;
      script.onload = done;
      script.onerror = failed;
      document.head.append(script);
    });
    return library;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = async () => {
    const place = $("[data-charts]:not([data-drawn])");
    if (!place) return;
    place.dataset.drawn = "soon";
    await charts(place);
    for (const one of Object.values(Chart.instances)) if (!one.canvas.isConnected) one.destroy();
    if (!place.isConnected) return;
    const told = JSON.parse(place.dataset.series);
    const usual = {
      locale: place.dataset.locale, animation: false, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
      scales: { x: { ticks: { maxTicksLimit: 6, color: colour("--pico-muted-color") }, grid: { display: false } },
        y: { beginAtZero: true, ticks: { color: colour("--pico-muted-color") }, grid: { color: colour("--line") } } },
      plugins: { legend: { display: false } },
    };
    const line = (label, data, shade, dash = []) => ({ label, data, borderColor: shade, backgroundColor: shade, borderWidth: 2, pointRadius: 0, tension: 0.2, borderDash: dash, order: -dash.length });
    new Chart($("[data-chart=volume]", place), { type: "bar", data: { labels: told.labels,
      datasets: [{ label: place.dataset.usd, data: told.volume, backgroundColor: colour("--accent"), borderRadius: 3 }] }, options: usual });
    new Chart($("[data-chart=rates]", place), { type: "line", data: { labels: told.labels,
      datasets: [line(place.dataset.refunded, told.refunded, colour("--accent")), line(place.dataset.disputed, told.disputed, colour("--bad"), [5, 3])] },
      options: { ...usual, plugins: { legend: { display: true, labels: { color: colour("--pico-muted-color"), usePointStyle: true, pointStyle: "line" } } } } });
    place.dataset.drawn = "yes";
  };
  draw();
})();
