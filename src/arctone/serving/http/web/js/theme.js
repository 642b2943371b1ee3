// Dark, light, or as the machine has it.

const KEY = "arctone-theme";
const NEXT = { auto: "dark", dark: "light", light: "auto" };

const chosen = () => localStorage.getItem(KEY) ?? "auto";

/** Apply the theme. onChange is called when the colours are others; button shows and switches it. */
export function start(button, onChange) {
  const apply = () => {
    const theme = chosen();
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.querySelector("span").textContent = { auto: "Auto", dark: "Dark", light: "Light" }[theme];
    button.setAttribute("aria-label", `Theme: ${theme}`);
    onChange();
  };
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, NEXT[chosen()]);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}
