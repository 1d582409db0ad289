/* The tab Annotate: labels of a MONAI Label server's pictures, and the tuning of its models on them. */
import { DraftSaver } from "./drafts.js";
import { Editor } from "./editor.js";
import { colorOf, cssColor } from "./overlay.js";
import { loadBitmap, packMap, send, unpackMaps, withQuery } from "./server.js";
import { showTraining, startTraining, stopTraining } from "./tuning.js";

const at = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let models = {};
let names = Object.create(null); // the value of each class in the label map; a class may be named "constructor"
let image = null; // the id of the open image
let newest = 0; // number of the latest request to open an image; answers to older ones are dropped
let connected = null; // the promise of the first connection
const newestMasks = new Map(); // the same number for the mask of each class

const editor = new Editor(at("editor"), (value) => colorOf(value - 1), () => drafts.edited(), () => attempt(maskByText));
const drafts = new DraftSaver(
  () => upload("draft"),
  (error) => say(error.message, true),
  () => say("The draft is saved again."),
);

function say(text, bad = false) {
  at("annotate-message").textContent = text;
  at("annotate-message").classList.toggle("bad", bad);
}

/** Run something that may fail, and say why it failed. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    say(error.message, true);
  }
}

const postJson = (path, content) => send(path, { method: "POST", body: JSON.stringify(content) });

/** Connect to the server, which may have to start, and open the latest draft or the next image. */
async function connect() {
  let answer;
  do {
    say("Waiting for MONAI Label …");
    answer = await (await send("annotate/server", { method: "POST" })).json();
    if (!answer.ready) await pause(1000);
  } while (!answer.ready);
  models = answer.models;
  at("model").replaceChildren(...Object.keys(models).map((name) => new Option(name)));
  showModel();
  say("");
  const { drafts } = await showImages();
  if (drafts.length) await open(drafts[0]);
  else await openNext();
  attempt(showTraining); // until a training ends that another page has started
}

/** Offer what the chosen model can do. */
function showModel() {
  at("tune").disabled = !models[at("model").value]?.trained;
}

/** List the images, and return the answer of the server. */
async function showImages() {
  const answer = await (await send("annotate/images")).json();
  const drafts = new Set(answer.drafts);
  const options = answer.images.map(({ id, labeled }) =>
    new Option(`${labeled ? "✓ " : ""}${id}${drafts.has(id) ? " (draft)" : ""}`, id, false, id === image));
  at("images").replaceChildren(...options);
  const labeled = answer.images.filter((entry) => entry.labeled).length;
  at("labeled").textContent = `${labeled} of ${answer.images.length} labeled`;
  at("progress").max = Math.max(1, answer.images.length);
  at("progress").value = labeled;
  return { ...answer, drafts: answer.drafts.filter((id) => answer.images.some((entry) => entry.id === id)) };
}

/** Open the image that the server chooses, unless the visitor chooses another one meanwhile. */
async function openNext() {
  const number = ++newest;
  say("Choosing an image …");
  const { id } = await (await postJson("annotate/next",
    { strategy: at("strategy").value, model: at("model").value })).json();
  if (number !== newest) return;
  if (id === null) say("All images are labeled.");
  else await open(id);
}

/** Open an image, with its draft or its submitted label. */
async function open(id) {
  const number = ++newest;
  say("Loading …");
  let [edits, bitmap, stored] = [];
  do {
    await saved();
    edits = drafts.edits;
    [bitmap, stored] = await Promise.all([
      send(withQuery("annotate/picture", { image: id })).then(loadBitmap),
      send(withQuery("annotate/label", { image: id })).then((found) => (found.status === 204 ? null : found.arrayBuffer())),
    ]);
    if (number !== newest) return;
    editor.finish();
  } while (drafts.edits !== edits); // the visitor has painted since
  image = id;
  const { names: given, labels, problem } = readLabels(stored, bitmap);
  setNames(given, labels);
  editor.open(bitmap, labels);
  at("editor").style.setProperty("--ratio", bitmap.width / bitmap.height);
  at("image-name").textContent = id;
  at("images").value = id;
  say(problem, Boolean(problem));
}

/** Return the classes and the label map of a message; without a message, or with one of another picture, none. */
function readLabels(stored, { width, height }) {
  const empty = { names: {}, labels: new Uint8Array(width * height), problem: "" };
  if (!stored) return empty;
  const { header, maps: [labels] } = unpackMaps(stored);
  const fits = header.width === width && header.height === height;
  if (fits) return { ...empty, names: header.names, labels: labels.slice() };
  const kind = header.draft ? "draft" : "label";
  return { ...empty, problem: `The ${kind} has ${header.width} x ${header.height} pixels, not those of the picture.` };
}

/** Take the classes of a label, and add those of the model. */
function setNames(given, map) {
  names = Object.assign(Object.create(null), given);
  const classes = models[at("model").value]?.labels ?? [];
  if (!Object.keys(names).length) classes.forEach((name, index) => (names[name] = index + 1));
  for (const value of new Set(map))
    if (value && !Object.values(names).includes(value)) names[`class ${value}`] = value;
  classes.forEach(addClass);
  showClasses(classes[0] ?? Object.keys(names)[0]);
}

/** Add a class with the lowest free value, unless it exists. */
function addClass(name) {
  if (name in names) return;
  const used = new Set(Object.values(names));
  let value = 1;
  while (used.has(value)) value++;
  if (value > 255) throw new Error("A label has at most 255 classes.");
  names[name] = value;
}

const activeClass = () => document.querySelector("input[name=class]:checked")?.value;

/** List the classes, with one of them active. */
function showClasses(active) {
  const rows = Object.entries(names).map(([name, value]) => {
    const row = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "class", value: name });
    input.checked = name === active;
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.backgroundColor = cssColor(colorOf(value - 1));
    row.append(input, swatch, name);
    return row;
  });
  at("classes").replaceChildren(at("classes").firstElementChild, ...rows);
  activate();
}

/** Let brush and text belong to the active class. */
function activate() {
  const name = activeClass();
  editor.value = names[name];
  at("class-text").value = name ?? "";
  if (editor.labels) editor.clearMarks();
}

/** Replace the mask of the active class by that of its text, corrected by the clicks and the box. */
async function maskByText() {
  const [name, id, text] = [activeClass(), image, at("class-text").value.trim()];
  if (!id) throw new Error("Open an image first.");
  if (!text) throw new Error("Type the text of the class first.");
  say("Segmenting …");
  const number = (newestMasks.get(name) ?? 0) + 1;
  newestMasks.set(name, number);
  const { foreground, background, box } = editor.marks;
  const corrections = { foreground, background, ...(box ? { roi: box } : {}) };
  const asked = { model: at("model").value, image: id, text: [text], ...corrections };
  const answer = await postJson("annotate/masks", asked);
  const { header, maps: [mask] } = unpackMaps(await answer.arrayBuffer());
  if (id !== image || number !== newestMasks.get(name)) return;
  const value = names[name];
  editor.edit((labels) => {
    for (let pixel = 0; pixel < labels.length; pixel++)
      if (labels[pixel] === value || labels[pixel] === 0) labels[pixel] = mask[pixel] ? value : 0;
  });
  const confidence = header.confidence?.[text];
  const shown = (part) => (part == null ? "–" : `${(100 * part).toFixed(1)} %`);
  say(`${text}: presence ${shown(header.presence?.[text])}, confidence ${shown(confidence)}`);
}

/** Return the request that saves the shown label map, as a `draft` or for `submit`. */
function upload(kind) {
  const body = packMap({ names, width: editor.width, height: editor.height }, editor.labels);
  return { path: withQuery(`annotate/${kind}`, { image }), body };
}

/** Wait until the shown label map is in a draft, with a stroke whose pointer is still down. */
function saved() {
  editor.finish();
  return drafts.saved();
}

/** Submit the label map, and open the next image. */
const submit = single(async () => {
  if (!image) throw new Error("Open an image first.");
  await saved();
  const { path, body } = upload("submit");
  await drafts.inTurn(() => send(path, { method: "POST", body }));
  await showImages();
  await openNext();
});

/** Return an action that does nothing while it runs already. */
function single(action) {
  let running = false;
  return async () => {
    if (running) return;
    running = true;
    try {
      await action();
    } finally {
      running = false;
    }
  };
}

function chooseTool(tool) {
  document.querySelector(`#tools [value=${tool}]`).checked = true;
  editor.finish();
  editor.tool = tool;
}

function resizeBrush(size) {
  at("brush").value = size;
  editor.brush = Number(at("brush").value);
  at("brush-value").textContent = editor.brush;
}

const KEYS = {
  b: () => chooseTool("brush"),
  e: () => chooseTool("eraser"),
  p: () => chooseTool("foreground"),
  m: () => chooseTool("background"),
  x: () => chooseTool("box"),
  "[": () => resizeBrush(editor.brush - 2),
  "]": () => resizeBrush(editor.brush + 2),
  c: () => editor.labels && editor.clearMarks(),
  t: () => attempt(maskByText),
  s: () => attempt(submit),
  n: () => attempt(openNext),
};

/** Handle a key, unless the visitor types. */
function pressKey(event) {
  if (at("annotate").hidden || event.target.closest("input[type=text], input[type=number], select, textarea")) return;
  const key = event.key.toLowerCase();
  const undoes = event.ctrlKey || event.metaKey;
  let action = undoes ? null : KEYS[key];
  if (undoes && key === "z") action = () => (event.shiftKey ? editor.redo() : editor.undo());
  if (undoes && key === "y") action = () => editor.redo();
  if (!undoes && /^[1-9]$/.test(key)) action = () => document.querySelectorAll("input[name=class]")[key - 1]?.click();
  if (!action || event.altKey || (event.repeat && !"[]".includes(key) && !undoes)) return;
  event.preventDefault();
  action();
}

function listen() {
  const actions = { next: openNext, "by-text": maskByText, submit };
  for (const [id, action] of Object.entries(actions)) at(id).addEventListener("click", () => attempt(action));
  at("undo").addEventListener("click", () => editor.undo());
  at("redo").addEventListener("click", () => editor.redo());
  at("clear").addEventListener("click", () => editor.labels && editor.clearMarks());
  at("images").addEventListener("change", () => attempt(() => open(at("images").value)));
  at("model").addEventListener("change", () => {
    showModel();
    if (image) setNames(names, editor.labels);
  });
  at("classes").addEventListener("change", activate);
  at("tools").addEventListener("change", (event) => chooseTool(event.target.value));
  at("brush").addEventListener("input", () => resizeBrush(at("brush").value));
  at("label-opacity").addEventListener("input", showOpacity);
  at("zoom").addEventListener("input", () => at("editor").style.setProperty("--zoom", at("zoom").value));
  at("annotate-form").addEventListener("submit", (event) => event.preventDefault());
  at("new-class").addEventListener("keydown", (event) => {
    const name = at("new-class").value.trim();
    if (event.key !== "Enter" || !name) return;
    attempt(async () => {
      addClass(name);
      showClasses(name);
      at("new-class").value = "";
    });
  });
  at("tune").addEventListener("click", () =>
    attempt(async () => startTraining(at("model").value, Number(at("epochs").value))));
  at("stop").addEventListener("click", () => attempt(stopTraining));
  document.addEventListener("keydown", pressKey);
  document.addEventListener("tab-annotate", begin);
  addEventListener("beforeunload", (event) => {
    editor.finish();
    if (drafts.mayBeLost()) event.preventDefault();
  });
  addEventListener("pagehide", () => {
    editor.finish();
    drafts.sendLast();
  });
}

const showOpacity = () => (editor.overlay.style.opacity = at("label-opacity").value);

/** Connect when the tab is first opened, and again after a failure. */
function begin() {
  connected ??= attempt(async () => {
    try {
      await connect();
      document.body.dataset.connected = "true";
    } catch (error) {
      connected = null;
      throw error;
    }
  });
}

listen();
showOpacity();
resizeBrush(at("brush").value);
