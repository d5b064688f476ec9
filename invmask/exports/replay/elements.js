// What all parts share: the data, small helpers, and the theme. Text is set as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MARKS = { original: "●", pruned: "■", inverse: "◆", repaired: "■" };
const dark = matchMedia("(prefers-color-scheme: dark)");

function make(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "tspan"].includes(name);
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function mark(view) {
  return make("span", { class: `mark ${view}`, "aria-hidden": "true" }, MARKS[view]);
}

function percent(share, digits = 1) {
  return share === null ? "–" : `${(100 * share).toFixed(digits)} %`;
}

// The last of the kept rounds up to this one, or the first of all: long runs keep every second, fourth, ... round.
function keptRound(rounds, round) {
  let found = rounds[0];
  for (const each of rounds) {
    if (each > round) break;
    found = each;
  }
  return found;
}

function stageOf(round) {
  return data.stages.find((stage) => stage.first <= round && round <= stage.last);
}

function stageWords(round) {
  const stage = stageOf(round);
  if (!stage) return data.before;
  return `${stage.title}, ${round - stage.first + 1} of ${stage.last - stage.first + 1}`;
}

// Buttons of which one is pressed.
function choice(parent, options, chosen, onChoose) {
  const buttons = options.map((option) => {
    const button = make("button", { type: "button", "aria-pressed": String(option.name === chosen) });
    if (option.key) button.setAttribute("aria-keyshortcuts", option.key);
    button.append(...option.content);
    button.addEventListener("click", () => select(option.name));
    return button;
  });
  function select(name) {
    options.forEach((option, place) => buttons[place].setAttribute("aria-pressed", String(option.name === name)));
    onChoose(name);
  }
  parent.append(...buttons);
  return select;
}

// Colours [r, g, b] at 256 steps of a scale of evenly spaced stops.
function table(stops) {
  const colours = stops.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, step) => {
    const at = (step / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    const mixed = colours[low].map((c, i) => Math.round(c + (at - low) * (colours[low + 1][i] - c)));
    return `rgb(${mixed.join(" ")})`;
  });
}
