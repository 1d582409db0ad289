/* The tabs of the page, by the fragment of its address. */

function showTab() {
  const chosen = location.hash === "#annotate" ? "annotate" : "try";
  for (const link of document.querySelectorAll("nav a")) {
    const name = link.hash.slice(1);
    document.getElementById(name).hidden = name !== chosen;
    if (name === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.dispatchEvent(new Event(`tab-${chosen}`));
}

addEventListener("hashchange", showTab);
showTab();
