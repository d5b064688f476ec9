// The cards of the views at a round, and the curves over all rounds with a cursor.
const cards = data.views.map((view) => {
  const rows = data.measures.map((measure) => {
    const value = make("b");
    const bar = make("div");
    const tick = make("i");
    const track = make("div", { class: "bar", "aria-hidden": "true" }, bar);
    if (view.name !== "original") track.append(tick);
    const name = make("abbr", { title: measure.title }, measure.name.toUpperCase());
    return { row: make("div", { class: "measure" }, name, track, value), value, bar, tick };
  });
  const card = make("article", { class: `card ${view.name}`, title: view.explanation });
  card.append(make("h3", {}, mark(view.name), view.title), ...rows.map((each) => each.row));
  $("cards").append(card);
  return rows;
});

function showCards(round) {
  data.measures.forEach((measure, m) => {
    const original = data.values[measure.name][0][round];
    cards.forEach((rows, v) => {
      const share = data.values[measure.name][v][round];
      rows[m].value.textContent = percent(share);
      rows[m].bar.style.width = `${100 * (share ?? 0)}%`;
      rows[m].tick.style.left = `${100 * (original ?? 0)}%`;
    });
  });
}

const PLOT = { height: 132, left: 48, right: 88, top: 10, bottom: 20 };
const curves = data.measures.map((measure) => {
  const holder = make("div", { class: "plot" });
  $("curves").append(make("figure", {}, make("figcaption", {}, measure.title), holder));
  return { measure, holder, svg: null, cursor: null, dots: [] };
});

function spread(values, gap, low, high) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const placed = [...values];
  order.forEach((place, i) => {
    placed[place] = Math.max(placed[place], i ? placed[order[i - 1]] + gap : low);
  });
  let top = high;
  for (const place of order.reverse()) {
    placed[place] = Math.min(placed[place], top);
    top = placed[place] - gap;
  }
  return placed;
}

// One shape a view, so that points are told apart without their colour.
function dot(view, x, y) {
  if (view === "original") return `M${x - 4} ${y}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z`;
  if (view === "inverse") return `M${x} ${y - 5.4}l5.4 5.4l-5.4 5.4l-5.4 -5.4z`;
  return `M${x - 4} ${y - 4}h8v8h-8z`;
}

function drawCurves(onPick) {
  for (const curve of curves) {
    const width = Math.max(220, curve.holder.clientWidth);
    const { height, left, right, top, bottom } = PLOT;
    const x = (round) => left + ((width - left - right) * round) / Math.max(1, data.rounds);
    const y = (share) => top + (height - top - bottom) * (1 - share);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    for (const share of [0, 0.5, 1]) {
      svg.append(make("line", { class: "grid", x1: left, x2: width - right, y1: y(share), y2: y(share) }));
      const words = make("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" });
      words.append(`${100 * share} %`);
      svg.append(words);
    }
    for (const stage of data.stages.slice(1)) {
      const at = x(stage.first - 0.5);
      svg.append(make("line", { class: "phase", x1: at, x2: at, y1: top, y2: height - bottom }));
    }
    for (const [round, anchor] of [[0, "start"], [data.rounds, "end"]]) {
      const words = make("text", { x: x(round), y: height - 4, "text-anchor": anchor });
      words.append(round ? `round ${round.toLocaleString("en")}` : "0");
      svg.append(words);
    }
    curve.cursor = make("line", { class: "cursor", y1: top - 4, y2: height - bottom });
    svg.append(curve.cursor);
    const lines = data.values[curve.measure.name];
    lines.forEach((values, v) => {
      let path = "";
      let pen = "M";
      values.forEach((share, round) => {
        if (share === null) pen = "M";
        else {
          path += `${pen}${x(round).toFixed(1)} ${y(share).toFixed(1)}`;
          pen = "L";
        }
      });
      svg.append(make("path", { class: `curve ${data.views[v].name}`, d: path }));
    });
    const ends = lines.map((values) => y(values[data.rounds] ?? 0));
    spread(ends, 15, top, height - bottom).forEach((at, v) => {
      const words = make("text", { class: "name", x: width - right + 8, y: at + 4 });
      const sign = make("tspan", { class: `mark ${data.views[v].name}` }, `${MARKS[data.views[v].name]} `);
      words.append(sign, data.views[v].title);
      svg.append(words);
    });
    curve.dots = data.views.map((view) => make("path", { class: `dot ${view.name}` }));
    svg.append(...curve.dots);
    const pick = (event) => {
      const across = ((event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right)) * data.rounds;
      onPick(Math.round(across));
    };
    svg.addEventListener("pointerdown", pick);
    svg.addEventListener("pointermove", (event) => event.buttons && pick(event));
    curve.holder.replaceChildren(svg);
    Object.assign(curve, { svg, x, y });
  }
}

function moveCursor(round) {
  for (const curve of curves) {
    const at = curve.x(round);
    curve.cursor.setAttribute("x1", at);
    curve.cursor.setAttribute("x2", at);
    const said = data.views.map((view, v) => {
      const share = data.values[curve.measure.name][v][round];
      curve.dots[v].setAttribute("d", share === null ? "" : dot(view.name, at, curve.y(share)));
      return `${view.title} ${percent(share)}`;
    });
    curve.svg.setAttribute("aria-label", `${curve.measure.title}, over rounds; at round ${round}: ${said.join(", ")}`);
  }
}
