// The page's elements. Text is only ever set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Sets the text if it is another, so that screen readers and selections are left alone. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Read out by screen readers when they have nothing else to say. */
export function announce(text) {
  byId("news").textContent = text;
}
