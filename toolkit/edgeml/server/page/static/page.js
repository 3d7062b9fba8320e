// What a page does without the server: theme, copying, and saying since when the server is not there.

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) DOINGS[button.dataset.do](button);
});

// A menu closes when something else is clicked or Escape is pressed.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll(".menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

const DOINGS = {
  theme() {
    const dark = !Quasar.Dark.isActive;
    holdTheme(dark);
    document.cookie = `edgeml_theme=${dark ? "dark" : "light"};path=/;max-age=31536000;samesite=strict`;
  },
  async copy(button) {
    await navigator.clipboard.writeText(button.dataset.text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  },
  retry() {
    location.reload();
  },
};

// NiceGUI sets the theme that the page was loaded with again at every message; what was chosen since stays.
let setByNiceGUI;
function holdTheme(dark) {
  setByNiceGUI ??= window.setDark;
  window.setDark = () => setByNiceGUI(dark);
  window.setDark();
}

// NiceGUI shows and hides #popup as the connection is lost and comes back; our banner and live dot follow it.
new MutationObserver(() => {
  const popup = document.getElementById("popup");
  if (popup && !popup.dataset.watched) {
    popup.dataset.watched = "yes";
    new MutationObserver(() => tell(popup.ariaHidden === "false")).observe(popup, { attributeFilter: ["aria-hidden"] });
  }
}).observe(document, { childList: true, subtree: true });

// It shows nothing when a first connection never comes about: the server went while the page was loading.
const FIRST_CONNECTION_MS = 5000;
setTimeout(() => tell(!window.socket?.connected), FIRST_CONNECTION_MS);

function tell(lost) {
  if (lost === document.body.classList.contains("offline")) return;
  document.body.classList.toggle("offline", lost);
  const since = new Date().toISOString().slice(11, 19);
  for (const place of document.querySelectorAll("[data-since]")) place.textContent = since;
  for (const banner of document.querySelectorAll("[data-offline]")) banner.hidden = !lost;
}

// Filters live in the address: each change replaces it, and the server shows what it asks for; the fields keep their focus.
let waiting;
document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-filters]");
  if (!form) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => ask(form), event.target.type === "search" ? 250 : 0);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-filters]")) return;
  event.preventDefault();
  ask(event.target);
});

function ask(form) {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  history.replaceState(null, "", query.size ? `${form.getAttribute("action")}?${query}` : form.getAttribute("action"));
  emitEvent("filters", Object.fromEntries(query));
}
