// What the round synthesized: one card a label while the search goes on, and examples of triggers after it.
const strips = new Map();

// Pictures are decoded before they are drawn on canvases, so that nothing flickers while the replay plays.
function strip(address) {
  if (!strips.has(address)) {
    const image = new Image();
    image.src = address;
    strips.set(address, image);
  }
  return strips.get(address);
}

function tile(canvas, address, column, columns, row, rows) {
  canvas.wanted = `${column}/${row}/${address.length}/${address.slice(-40)}`;
  const { wanted } = canvas;
  const draw = () => {
    if (canvas.wanted !== wanted) return;
    const width = image.naturalWidth / columns;
    const height = image.naturalHeight / rows;
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").drawImage(image, column * width, row * height, width, height, 0, 0, width, height);
  };
  const image = strip(address);
  if (image.complete && image.naturalWidth) draw();
  else image.decode().then(draw, () => {});
}

const roundsOf = (part) => (part ? Object.keys(part.rounds).map(Number).sort((a, b) => a - b) : []);
const found = { search: roundsOf(data.search), triggers: roundsOf(data.triggers), cards: [], examples: [] };

function startPictures() {
  if (!data.search && !data.triggers) return;
  $("found").hidden = false;
  if (data.search) {
    const most = Math.max(...found.search.map((round) => data.search.rounds[round].cards.length));
    const grid = make("div", { class: "search-cards" });
    for (let i = 0; i < most; i++) {
      const canvas = make("canvas", { role: "img" });
      const parts = { canvas, title: make("figcaption"), size: make("b"), led: make("span"), bar: make("div"), mark: make("em") };
      const said = make("div", { class: "said" }, parts.size, parts.led, parts.mark);
      const bar = make("div", { class: "bar", "aria-hidden": "true" }, parts.bar);
      parts.card = make("figure", { class: "search-card" }, parts.title, canvas, bar, said);
      grid.append(parts.card);
      found.cards.push(parts);
    }
    found.lead = make("p", { class: "lead" });
    found.reading = make("p", { class: "quiet" });
    $("search").append(found.lead, grid, found.reading);
  }
  if (data.triggers) {
    const most = Math.max(...found.triggers.map((round) => data.triggers.rounds[round].clean.length));
    const grid = make("div", { class: "examples" });
    for (let i = 0; i < most; i++) {
      const canvases = ["clean", "change", "sum"].map(() => make("canvas", { role: "img" }));
      const words = ["clean", "", "sum"].map((word) => make("span", {}, word));
      const tiles = make("div", { class: "tiles" });
      canvases.forEach((canvas, place) => tiles.append(make("div", {}, canvas, words[place])));
      const answers = data.views.map((view) => {
        const parts = { answer: make("b"), sure: make("span") };
        parts.row = make("div", { class: "answer" }, make("span", {}, mark(view.name), view.title), parts.answer, parts.sure);
        return parts;
      });
      const title = make("figcaption");
      const card = make("figure", { class: "example" }, title, tiles, ...answers.map((each) => each.row));
      grid.append(card);
      found.examples.push({ card, canvases, title, factor: words[1], answers });
    }
    found.largest = make("p", { class: "quiet" });
    $("triggers").append(found.largest, grid);
  }
}

function showPictures(round) {
  if (!data.search && !data.triggers) return;
  const searching = data.search && round <= data.search.last;
  const triggered = !searching && data.triggers && round >= data.triggers.first && round <= data.triggers.last;
  const none = searching ? round < data.search.first : !triggered;
  $("found-title").textContent = searching ? "The search for label and trigger" : "Synthesized triggers of the round";
  $("search").classList.toggle("away", !searching || none);
  $("triggers").classList.toggle("away", !triggered);
  $("nothing").textContent = none
    ? searching ? "The search begins with the first round." : "This round synthesized no triggers."
    : "";
  if (searching && !none) showSearch(round);
  if (triggered) showTriggers(round);
}

function showSearch(round) {
  const at = keptRound(found.search, round);
  const of = data.search.rounds[at];
  const out = of.best === null ? "No label stands out yet." : `The label ${of.best} stands out: it is the suspected target.`;
  found.lead.replaceChildren(`${of.words} `, make("strong", {}, out));
  found.reading.textContent = of.reading + (at === round ? "" : ` As of round ${at}.`);
  found.cards.forEach((parts, place) => {
    const card = of.cards[place];
    parts.card.hidden = !card;
    if (!card) return;
    const [title, size, share, flips, note, tells] = card;
    parts.title.textContent = title;
    parts.title.title = title;
    parts.size.textContent = size;
    parts.led.textContent = `${flips} % led here`;
    parts.mark.textContent = note || "\u00a0";
    parts.bar.style.width = `${100 * share}%`;
    parts.card.classList.toggle("out", note === "stands out");
    parts.card.classList.toggle("dropped", note === "dropped");
    parts.card.classList.toggle("hollow", !tells);
    parts.canvas.setAttribute("aria-label", `Synthesized trigger for ${title}`);
    tile(parts.canvas, of.picture, place, of.cards.length, 0, 1);
  });
}

function showTriggers(round) {
  const at = keptRound(found.triggers, round);
  const of = data.triggers.rounds[at];
  found.largest.textContent =
    "Each: clean image, change, their sum; then what every view answers to the sum. " +
    `The largest change of a pixel is ${of.largest} of 255.` + (at === round ? "" : ` As of round ${at}.`);
  found.examples.forEach((example, place) => {
    example.card.hidden = place >= of.clean.length;
    if (example.card.hidden) return;
    const title = data.classes[of.labels[place]];
    example.title.textContent = title;
    example.factor.textContent = `change ×${of.factor}`;
    example.canvases.forEach((canvas, i) => {
      canvas.setAttribute("aria-label", `${title}, ${["clean", "change", "sum"][i]}`);
      if (i === 0) tile(canvas, data.triggers.clean[of.clean[place]], 0, 1, 0, 1);
      else tile(canvas, of.picture, place, of.clean.length, i - 1, 2);
    });
    example.answers.forEach((parts, v) => {
      parts.answer.textContent = data.classes[of.answers[v][place]];
      parts.sure.textContent = `${of.sure[v][place]} %`;
    });
  });
}
