// Keys for those who work here all day, and rows that narrow as one types. Every page does its work without.
"use strict";

const ROWS = ".board tbody tr, .rows tbody tr";
const TYPING = "input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]";
const SWITCH = "lab-adapter keys"; // in the browser's own storage: a choice of who sits there, no more
const GO_MILLISECONDS = 1500; // from g to the letter after it

const one = (selector) => document.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- keys ---------------------------------------------------------------------------------------------------------

let wentAt = -Infinity;

function isOn() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true; // a browser that keeps nothing
  }
}

function turn(on) {
  document.documentElement.classList.toggle("with-keys", on);
  try {
    localStorage.setItem(SWITCH, on ? "on" : "off");
  } catch {} // then it holds for this page
}

function showKeys() {
  const dialog = one("#keys");
  if (!dialog || dialog.open) return;
  dialog.showModal();
  dialog.querySelector("button").focus();
}

const linksOf = (row) => all("td.cell a", row).concat(all(":scope > :not(td.cell) a", row));

// Up and down stay in the column of a board; elsewhere a row is its first link.
function move(rows, columns) {
  const shown = all(ROWS).filter((row) => row.offsetParent && linksOf(row).length);
  const at = shown.findIndex((row) => row.contains(document.activeElement));
  const place = at < 0 ? 0 : linksOf(shown[at]).indexOf(document.activeElement);
  const row = shown[at < 0 ? 0 : Math.min(Math.max(at + rows, 0), shown.length - 1)];
  if (!row) return false;
  const links = linksOf(row);
  const link = links[Math.min(Math.max(place + (at < 0 ? 0 : columns), 0), links.length - 1)];
  link.focus();
  link.scrollIntoView({ block: "nearest", inline: "nearest" });
  return true;
}

function mark() {
  const box = document.activeElement.closest("tr")?.querySelector("input[type=checkbox]");
  box?.click();
  return Boolean(box);
}

function focusOn(selector) {
  const found = all(selector).find((each) => each.offsetParent);
  found?.focus();
  found?.select?.();
  return Boolean(found);
}

function answer(number) {
  const form = all("form[data-answer]")[number - 1];
  form?.scrollIntoView({ block: "nearest" });
  all("input:not([type=hidden]), select, button", form ?? document.createElement("form"))[0]?.focus();
  return Boolean(form);
}

function follow(link) {
  link?.click();
  return Boolean(link);
}

// The page above this one; what is above it all is the board.
function up() {
  const [first, second, ...rest] = location.pathname.split("/").slice(1);
  const own = first === "participants" || first === "roster" || first === "decisions";
  const above = own && second && rest.length ? `/${first}/${second}` : second && first !== "participants" ? `/${first}` : "/";
  location.assign(first === "assessments" ? "/roster" : above);
  return true;
}

const inRows = () => Boolean(document.activeElement?.closest(ROWS));
const KEYS = {
  "?": () => (showKeys(), true),
  "/": () => focusOn("main form[method=get] :is(input:not([type=hidden]), select)"),
  j: () => move(1, 0),
  k: () => move(-1, 0),
  ArrowDown: () => inRows() && move(1, 0),
  ArrowUp: () => inRows() && move(-1, 0),
  ArrowRight: () => inRows() && move(0, 1),
  ArrowLeft: () => inRows() && move(0, -1),
  x: mark,
  u: up,
  g: () => ((wentAt = performance.now()), true),
};

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.defaultPrevented) return;
  if (event.target.closest(TYPING) || one("dialog[open]") || !isOn()) return;
  const goes = performance.now() - wentAt < GO_MILLISECONDS;
  wentAt = -Infinity;
  const act = /^[1-9]$/.test(event.key)
    ? () => answer(Number(event.key))
    : goes
      ? () => follow(all(".top nav a[data-key]").find((link) => link.dataset.key === event.key))
      : Object.hasOwn(KEYS, event.key) && KEYS[event.key];
  if (act && act()) event.preventDefault();
}

// --- rows that narrow as one types; sending the form asks for all pages ---------------------------------------------

function narrows(field) {
  const groups = all(field.dataset.narrows).filter((group) => group.querySelector("a"));
  const told = one(`output[for="${field.id}"]`);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const group of groups) group.hidden = !group.querySelector("a").textContent.toLowerCase().includes(wanted);
    const shown = groups.filter((group) => !group.hidden).length;
    told.textContent = told.dataset.says.replace("{n}", shown).replace("{all}", groups.length);
  });
}

// --- the page -------------------------------------------------------------------------------------------------------

const box = one("#keys input");
if (box) {
  document.documentElement.classList.toggle("with-keys", isOn());
  box.checked = isOn();
  box.addEventListener("change", () => turn(box.checked));
  one("#show-keys").hidden = false;
  one("#show-keys").addEventListener("click", showKeys);
  document.addEventListener("keydown", pressed);
}
all("input[data-narrows]").forEach(narrows);
one("form[data-preview] [name=reason]")?.focus({ preventScroll: true });
