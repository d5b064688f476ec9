// Flip: the same pictures under each view, after the last round.
const flip = { view: 0, samples: [], select: () => {} };
const KINDS = { true: ["✓", "true class"], target: ["⚠", "target label"], other: ["✗", "another class"] };

function kindOf(answer, place, triggered) {
  if (answer === data.flip.labels[place]) return "true";
  return triggered && answer === data.flip.targets[place] ? "target" : "other";
}

function startFlip() {
  data.flip.labels.forEach((label, place) => {
    const name = data.classes[label];
    const row = make("div", { class: "pair" });
    const said = data.flip.kinds.map((kind) => {
      const image = make("img", { src: kind.pictures[place], alt: `${name}, ${kind.name}` });
      const parts = { answer: make("b"), sure: make("span", { class: "sure" }), kind: make("span", { class: "kind" }) };
      const words = make("span", { class: "caption" }, kind.name);
      row.append(make("div", { class: "shown" }, words, image, parts.answer, parts.sure, parts.kind));
      return parts;
    });
    $("samples").append(make("figure", { class: "sample" }, make("figcaption", {}, `true class: ${name}`), row));
    flip.samples.push(said);
  });
  const options = data.views.map((view, place) => ({
    name: view.name,
    key: String(place + 1),
    content: [mark(view.name), view.title, make("kbd", { "aria-hidden": "true" }, String(place + 1))],
  }));
  flip.select = choice($("views"), options, options[0].name, (name) => showFlip(data.views.findIndex((v) => v.name === name)));
  $("view-keys").append(...data.views.flatMap((_, place) => [make("kbd", {}, String(place + 1)), " "]), "choose");
  showFlip(0);
}

function showFlip(view) {
  flip.view = view;
  const counts = data.flip.kinds.map(() => ({ true: 0, target: 0, other: 0 }));
  flip.samples.forEach((said, place) => {
    said.forEach((parts, k) => {
      const kind = data.flip.kinds[k];
      const answer = kind.answers[view][place];
      const found = kindOf(answer, place, kind.name === "triggered");
      counts[k][found] += 1;
      parts.answer.textContent = data.classes[answer];
      parts.answer.title = data.classes[answer];
      parts.sure.textContent = `${kind.sure[view][place].toFixed(1)} %`;
      parts.kind.textContent = `${KINDS[found][0]} ${KINDS[found][1]}`;
      parts.kind.className = `kind ${found}`;
    });
  });
  const all = flip.samples.length;
  const parts = data.flip.kinds.map((kind, k) => {
    const targets = kind.name === "triggered" ? `, with the target label: ${counts[k].target} of ${all}` : "";
    return `${kind.name} pictures answered with their true class: ${counts[k].true} of ${all}${targets}`;
  });
  const { title, explanation } = data.views[view];
  $("flip-words").replaceChildren(make("strong", {}, `${title} view`), `: ${parts.join("; ")}. ${explanation}`);
  $("samples").className = data.views[view].name;
}
