// Keeps a list or a ticket up to date while somebody looks at it, without moving what they type.
const main = document.querySelector("main[data-live]");

function changed(field) {
  if (field.matches("select")) return [...field.options].some((option) => option.selected !== option.defaultSelected);
  if (field.matches("[type=checkbox]")) return field.checked !== field.defaultChecked;
  return field.value !== field.defaultValue;
}

function busy() {
  const inUse = document.activeElement !== main && main.contains(document.activeElement);
  return inUse || [...main.querySelectorAll("textarea, input, select")].some(changed);
}

async function refresh() {
  if (document.hidden || busy()) return;
  let text;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    text = await response.text();
  } catch {
    return; // The desk is away; the next round tells.
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const next = fresh.querySelector("main");
  if (busy() || next.innerHTML === seen) return;
  seen = next.innerHTML;
  const known = new Set([...main.querySelectorAll("[data-ticket]")].map((row) => row.dataset.ticket));
  main.innerHTML = seen;
  document.title = fresh.title;
  document.querySelector("header nav").innerHTML = fresh.querySelector("header nav").innerHTML;
  const added = [...main.querySelectorAll("[data-ticket]")].filter((row) => !known.has(row.dataset.ticket));
  for (const row of added) row.classList.add("added");
  if (added.length > 0) document.querySelector("#news").textContent = `New: ${added[0].dataset.ticket}`;
}

let seen = main?.innerHTML;
if (main) setInterval(refresh, 2000);
