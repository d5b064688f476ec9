// The player: which round is shown, and by what it is changed.
const player = { round: 0, timer: 0 };
const PACES = [1, 2, 4, 8, 16, 32];
const WHOLE_RUN_SECONDS = 20;

function say() {
  // Somebody who listens is told each round that they choose, but not every round of a replay that plays.
  $("said").textContent = `Round ${player.round} of ${data.rounds}. ${stageWords(player.round)}.`;
}

function show(round) {
  player.round = Math.min(data.rounds, Math.max(0, round));
  const words = stageWords(player.round);
  $("slider").value = player.round;
  $("slider").setAttribute("aria-valuetext", `Round ${player.round}, ${words}`);
  $("round").textContent = `Round ${player.round.toLocaleString("en")} of ${data.rounds.toLocaleString("en")}`;
  $("stage").textContent = words;
  const now = stageOf(player.round);
  [...$("stages").children].forEach((each, place) => each.classList.toggle("now", data.stages[place] === now));
  $("back").disabled = player.round === 0;
  $("on").disabled = player.round === data.rounds;
  showCards(player.round);
  moveCursor(player.round);
  showMap(player.round);
  showPictures(player.round);
}

function go(round) {
  pause();
  show(round);
  say();
}

function tick() {
  const before = stageOf(player.round);
  show(player.round + 1);
  if (player.round === data.rounds) pause();
  else player.timer = setTimeout(tick, 1000 / Number($("pace").value));
  if (stageOf(player.round) !== before) say();
}

function play() {
  if (player.round === data.rounds) show(0);
  player.timer = setTimeout(tick, 1000 / Number($("pace").value));
  nameOfPlay("Pause");
  say();
}

function pause() {
  if (!player.timer) return;
  clearTimeout(player.timer);
  player.timer = 0;
  nameOfPlay("Play");
  say();
}

function nameOfPlay(name) {
  $("play").querySelector(".name").textContent = name;
  $("play").classList.toggle("playing", name === "Pause");
}

const toggle = () => (player.timer ? pause() : play());

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const { target, key } = event;
  const step = event.shiftKey ? 10 : 1;
  const view = "123456789".indexOf(key);
  // What has the focus keeps its own keys: a list its arrows, a button its space bar.
  if (target.tagName === "SELECT") return;
  if (key === " " && target.tagName === "BUTTON") return;
  if (key === "ArrowLeft") go(player.round - step);
  else if (key === "ArrowRight") go(player.round + step);
  else if (key === "Home") go(0);
  else if (key === "End") go(data.rounds);
  else if (key === " ") toggle();
  else if (view >= 0 && view < data.views.length) flip.select(data.views[view].name);
  else return;
  event.preventDefault();
}

function layOut() {
  drawCurves(go);
  moveCursor(player.round);
  layOutMap();
  [...$("stages").children].forEach((part, place) => {
    const { title, short } = data.stages[place];
    part.textContent = [title, short, ""].find((words) => {
      part.textContent = words;
      return part.scrollWidth <= part.clientWidth;
    }) ?? "";
  });
}

function start() {
  $("slider").max = data.rounds;
  for (const stage of data.stages) {
    const part = make("span", { title: stage.title }, stage.short);
    const left = (stage.first - 0.5) / data.rounds;
    part.style.left = `${100 * left}%`;
    part.style.width = `${100 * Math.min(1 - left, (stage.last - stage.first + 1) / data.rounds)}%`;
    $("stages").append(part);
  }
  const usual = PACES.find((pace) => data.rounds / pace <= WHOLE_RUN_SECONDS) ?? PACES[PACES.length - 1];
  for (const pace of PACES) {
    const option = make("option", { value: pace }, pace === 1 ? "1 round/s" : `${pace} rounds/s`);
    option.selected = pace === usual;
    $("pace").append(option);
  }
  if (data.views.length > 1) $("tick-words").textContent = "A line in a bar is the original's value.";
  startMap();
  startPictures();
  startFlip();
  $("play").addEventListener("click", toggle);
  $("back").addEventListener("click", () => go(player.round - 1));
  $("on").addEventListener("click", () => go(player.round + 1));
  $("slider").addEventListener("input", () => go(Number($("slider").value)));
  document.addEventListener("keydown", onKey);
  dark.addEventListener("change", () => {
    if (data.map) drawLegend();
    drawMap();
  });
  drawCurves(go);
  show(data.rounds);
  layOut();
  say();
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) layOut();
    width = window.innerWidth;
  });
}

start();
