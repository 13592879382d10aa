// Short notices: shown for a moment, and read aloud by screen readers.

let timer = 0;

/** Read aloud only. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

/** Show for a moment, and read aloud. */
export function toast(text) {
  const box = document.getElementById("toast");
  box.textContent = text;
  box.classList.add("shown");
  announce(text);
  clearTimeout(timer);
  timer = setTimeout(() => box.classList.remove("shown"), 2500);
}

/** Copy to the clipboard, and say how that went. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("The browser did not let us copy");
  }
}
