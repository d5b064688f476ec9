// The map of all channels: one canvas a layer, one cell a channel.
const channelMap = { masks: null, quantity: null, round: 0, kept: 0, layers: [], channels: 0, problem: "" };
const COUNTED = { selected: "selected", pruned: "pruned", inverse: "cut in inverse" };

async function unpackMasks(packed, channels) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const masks = new Uint8Array(await new Response(stream).arrayBuffer());
  // Each round was stored as its difference from the one before, modulo 256, and so is the sum.
  for (let i = 2 * channels; i < masks.length; i++) masks[i] += masks[i - 2 * channels];
  return masks;
}

function startMap() {
  if (!data.map) return;
  $("map").hidden = false;
  let offset = 0;
  for (const [name, channels] of data.map.layers) {
    const canvas = make("canvas", { role: "img" });
    const count = make("span", { class: "count" });
    const row = make("div", { class: "layer" }, make("span", { class: "layer-name", title: name }, name), canvas, count);
    $("layers").append(row);
    const layer = { name, channels, offset, canvas, count, columns: 1, pitch: 1 };
    canvas.addEventListener("pointermove", (event) => tellChannel(layer, event));
    canvas.addEventListener("pointerdown", (event) => tellChannel(layer, event));
    channelMap.layers.push(layer);
    offset += channels;
  }
  channelMap.channels = offset;
  const options = data.map.quantities.map((each) => ({ name: each.name, content: [each.title] }));
  const select = choice($("quantities"), options, options[0].name, (name) => {
    channelMap.quantity = data.map.quantities.find((each) => each.name === name);
    drawLegend();
    drawMap();
  });
  select(options[0].name);
  if (typeof DecompressionStream === "undefined") {
    $("counts").textContent = "This browser is too old to unpack the map; a newer one draws it.";
    return;
  }
  unpackMasks(data.map.packed, offset).then((masks) => {
    channelMap.masks = masks;
    showMap(channelMap.round);
  });
}

function layOutMap() {
  if (!data.map) return;
  const ratio = window.devicePixelRatio || 1;
  const width = channelMap.layers[0].canvas.parentElement.clientWidth;
  const narrow = width < 560;
  $("layers").classList.toggle("narrow", narrow);
  const room = Math.max(192, width - (narrow ? 0 : 206));
  const columns = room >= 128 * 6 ? 128 : room >= 64 * 4 ? 64 : 32;
  const pitch = Math.min(10, Math.floor(room / columns));
  for (const layer of channelMap.layers) {
    const across = Math.min(columns, layer.channels);
    const high = Math.ceil(layer.channels / columns) * pitch;
    Object.assign(layer, { columns, pitch });
    layer.canvas.width = Math.round(across * pitch * ratio);
    layer.canvas.height = Math.round(high * ratio);
    layer.canvas.style.width = `${across * pitch}px`;
    layer.canvas.style.height = `${high}px`;
  }
  $("layers").style.setProperty("--cells", `${columns * pitch}px`);
  drawMap();
}

function showMap(round) {
  channelMap.round = round;
  if (!data.map) return;
  const rounds = data.map.rounds;
  channelMap.kept = rounds.indexOf(keptRound(rounds, round));
  drawMap();
}

// The four numbers of a channel, all in [0, 1].
function numbersOf(channel) {
  const { masks, kept, channels } = channelMap;
  const start = kept * 2 * channels + channel;
  const mask = masks[start] / 255;
  const selection = masks[start + channels] / 255;
  const passed = 1 / (1 + Math.exp(-data.map.steepness * (mask - 0.5)));
  const pruned = passed + selection * (1 - passed);
  return { mask, selection, pruned, inverse: 1 + selection - pruned };
}

function drawMap() {
  if (!channelMap.masks || !channelMap.quantity) return;
  const colours = table(channelMap.quantity.scale[dark.matches ? "dark" : "light"]);
  const shown = channelMap.quantity.name;
  const totals = { selected: 0, pruned: 0, inverse: 0 };
  const ratio = window.devicePixelRatio || 1;
  for (const layer of channelMap.layers) {
    const pen = layer.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, layer.canvas.width, layer.canvas.height);
    const of = { selected: 0, pruned: 0, inverse: 0 };
    for (let i = 0; i < layer.channels; i++) {
      const found = numbersOf(layer.offset + i);
      of.selected += found.selection < 0.5;
      of.pruned += found.pruned < 0.5;
      of.inverse += found.inverse < 0.5;
      const share = shown === "selection" ? 1 - found.selection : found[shown];
      pen.fillStyle = colours[Math.round(255 * share)];
      const side = layer.pitch - (layer.pitch > 7 ? 2 : 1);
      pen.fillRect((i % layer.columns) * layer.pitch, Math.floor(i / layer.columns) * layer.pitch, side, side);
    }
    for (const kind of Object.keys(of)) totals[kind] += of[kind];
    const kind = shown === "selection" ? "selected" : shown;
    layer.count.textContent = `${of[kind]} of ${layer.channels}`;
    layer.count.classList.toggle("none", of[kind] === 0);
    layer.canvas.setAttribute("aria-label", `${layer.name}: ${of[kind]} of ${layer.channels} channels ${COUNTED[kind]}`);
  }
  const all = channelMap.channels.toLocaleString("en");
  const parts = Object.keys(totals).filter((kind) => data.map.selects || kind !== "selected");
  const said = parts.map((kind) => `${totals[kind].toLocaleString("en")} ${COUNTED[kind]}`);
  const at = data.map.rounds[channelMap.kept];
  const older = at === channelMap.round ? "" : ` (after round ${at.toLocaleString("en")})`;
  $("counts").textContent = `Of ${all} channels: ${said.join(", ")}${older}.`;
}

function drawLegend() {
  const { ends, scale } = channelMap.quantity;
  const bar = make("span", { class: "ramp" });
  bar.style.background = `linear-gradient(90deg, ${scale[dark.matches ? "dark" : "light"].join(", ")})`;
  $("legend").replaceChildren(`0 ${ends[0]}`, bar, `1 ${ends[1]}`);
}

function tellChannel(layer, event) {
  if (!channelMap.masks) return;
  const column = Math.floor(event.offsetX / layer.pitch);
  const channel = Math.floor(event.offsetY / layer.pitch) * layer.columns + column;
  if (column < 0 || channel < 0 || channel >= layer.channels) return;
  const found = numbersOf(layer.offset + channel);
  const selection = data.map.selects ? `, selection s ${found.selection.toFixed(2)}` : "";
  $("channel").textContent =
    `${layer.name}:${channel}: mask a ${found.mask.toFixed(2)}${selection}, pruned gate ${found.pruned.toFixed(2)}, ` +
    `inverse gate ${found.inverse.toFixed(2)}`;
}
