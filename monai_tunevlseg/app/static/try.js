/* The tab Try: masks of texts in a picture. */
import { colorOf, cssColor, drawPicture, drawPixels } from "./overlay.js";
import { loadBitmap, packMap, send, unpackMaps, withQuery } from "./server.js";

const OWN_MASK = 128; // the bit of a pixel in the mask at the bundle's own threshold
const at = (id) => document.getElementById(id);
const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(1)} %`);

let bundles = [];
let maxUpload = 0;
let picture = null; // {query, body, name, bitmap}
let shown = []; // {version, header, maps, view}
let newest = 0; // number of the latest request; answers to older ones are dropped

/** Show a message below the controls. */
function say(text, bad = false) {
  at("message").textContent = text;
  at("message").classList.toggle("bad", bad);
}

/** Run something that may fail, and say why it failed. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    say(error.message, true);
  }
}

/** Show a picture: a name in the folder, or a file that was dropped. */
async function choosePicture(query, body, name) {
  const number = ++newest;
  if (body && body.size > maxUpload) throw new Error(`${name} is larger than ${maxUpload / 1e6} MB.`);
  say("Loading …");
  const bitmap = await loadBitmap(await send(withQuery("try/picture", query), { method: "POST", body }));
  if (number !== newest) return;
  picture = { query, body, name, bitmap };
  at("picture-name").textContent = name;
  shown = [];
  showViews(chosenVersions());
  say("");
}

const chosenBundle = () => bundles.find((bundle) => bundle.name === at("bundle").value);
const chosenTexts = () => at("texts").value.split("\n").map((text) => text.trim()).filter(Boolean);

/** Return the versions to show: one, or both. */
function chosenVersions() {
  const version = document.querySelector("input[name=version]:checked").value;
  return version === "both" ? ["zero-shot", "tuned"] : [version];
}

/** Offer the versions and texts of the chosen bundle. */
function showBundle() {
  const bundle = chosenBundle();
  at("description").textContent = bundle.description;
  at("texts").value = bundle.texts.join("\n");
  for (const input of document.querySelectorAll("input[name=version]")) {
    input.disabled = input.value === "both" ? bundle.versions.length < 2 : !bundle.versions.includes(input.value);
    input.checked = input.value === bundle.versions[0];
  }
}

/** Show the picture once for each version, without masks. */
function showViews(versions) {
  const views = versions.map((version) => {
    const view = at("view").content.cloneNode(true).firstElementChild;
    view.dataset.version = version;
    view.querySelector("figcaption").textContent = `${chosenBundle().name}, ${version}`;
    drawPicture(view.querySelector(".picture"), picture.bitmap);
    return view;
  });
  at("views").replaceChildren(...views);
  showOpacity();
  return views;
}

/** Segment the picture by the typed texts. */
async function segment() {
  if (!picture) throw new Error("Drop a picture first, or choose one.");
  const texts = chosenTexts();
  if (!texts.length) throw new Error("Type a text first, such as polyp.");
  const number = ++newest;
  say("Segmenting …");
  at("views").setAttribute("aria-busy", "true");
  const [bundle, versions, source] = [chosenBundle().name, chosenVersions(), picture];
  const found = [];
  try {
    for (const version of versions) {
      const query = { ...source.query, bundle, version, texts: JSON.stringify(texts) };
      const answer = await send(withQuery("try/masks", query), { method: "POST", body: source.body });
      found.push({ version, ...unpackMaps(await answer.arrayBuffer()) });
      if (number !== newest) return;
    }
  } finally {
    at("views").removeAttribute("aria-busy");
  }
  const views = showViews(versions);
  shown = found.map((result, index) => ({ ...result, view: views[index] }));
  shown.forEach(showTable);
  drawMasks();
  say("");
}

/** Return the number of slider steps that a pixel must exceed; null = the bundle's own threshold. */
const chosenLevel = () => (at("own-threshold").checked ? null : Math.round(100 * at("threshold").value));

/** Return whether a pixel of a map is in the mask at a level. */
const inMask = (value, level) => (level === null ? value >= OWN_MASK : (value & (OWN_MASK - 1)) >= level);

/** Write the table of texts under a view. */
function showTable({ header, view }) {
  const rows = header.texts.map(({ text, presence }, index) => {
    const row = at("row").content.cloneNode(true).firstElementChild;
    row.querySelector(".text").textContent = text;
    row.querySelector(".swatch").style.backgroundColor = cssColor(colorOf(index));
    row.querySelector(".presence").textContent = percent(presence);
    row.querySelector("input").addEventListener("change", drawMasks);
    row.querySelector("button").addEventListener("click", () => attempt(() => download(view, index)));
    return row;
  });
  view.querySelector("tbody").replaceChildren(...rows);
  view.querySelector("table").hidden = false;
}

/** Draw the masks at the chosen threshold, with their confidence and area. */
function drawMasks() {
  const level = chosenLevel();
  at("threshold-value").textContent = level === null ? "" : (level / 100).toFixed(2);
  for (const { header, maps, view } of shown) {
    const rows = [...view.querySelectorAll("tbody tr")];
    const visible = maps.map((map, index) => [map, colorOf(index), rows[index].querySelector("input").checked])
      .filter(([, , checked]) => checked);
    drawPixels(view.querySelector(".overlay"), header.width, header.height, (pixel) => {
      let color = null;
      for (const [map, ofText] of visible) if (inMask(map[pixel], level)) color = ofText;
      return color;
    });
    header.texts.forEach(({ confidence, confidence_at }, index) => {
      const area = maps[index].reduce((sum, value) => sum + inMask(value, level), 0);
      rows[index].querySelector(".confidence").textContent =
        percent(level === null ? confidence : confidence_at[level - 1]);
      rows[index].querySelector(".area").textContent = percent(area / maps[index].length);
    });
  }
}

function showOpacity() {
  at("opacity-value").textContent = percent(at("opacity").value).replace(".0", "");
  for (const overlay of document.querySelectorAll("#try .overlay")) overlay.style.opacity = at("opacity").value;
}

/** Save the mask of a text as a PNG with 255 inside. */
async function download(view, index) {
  const { version, header, maps } = shown.find((result) => result.view === view);
  const level = chosenLevel();
  const mask = maps[index].map((value) => (inMask(value, level) ? 255 : 0));
  const body = packMap({ width: header.width, height: header.height }, mask);
  const file = await (await send("try/mask.png", { method: "POST", body })).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  const stem = picture.name.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "");
  link.download = `${stem}_${header.texts[index].text}_${version}.png`.replace(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Show a file from the visitor's machine. */
function takeFile(file) {
  at("pictures").value = "";
  return attempt(() => choosePicture({ name: file.name }, file, file.name));
}

/** List the bundles, and keep the choice if one was made. */
async function showBundles() {
  const chosen = at("bundle").value;
  ({ bundles, max_upload: maxUpload } = await (await send("try/bundles")).json());
  at("bundle").replaceChildren(...bundles.map(({ name }) => new Option(name, name, false, name === chosen)));
  showBundle();
}

function listen() {
  document.addEventListener("tuned", () => attempt(showBundles)); // a bundle may have its first checkpoint
  at("file").addEventListener("change", () => at("file").files.length && takeFile(at("file").files[0]));
  const drop = at("drop");
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) takeFile(event.dataTransfer.files[0]);
  });
  at("pictures").addEventListener("change", () => {
    const name = at("pictures").value;
    attempt(() => choosePicture({ picture: name }, undefined, name));
  });
  at("bundle").addEventListener("change", showBundle);
  at("try-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(segment);
  });
  at("texts").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) attempt(segment);
  });
  at("opacity").addEventListener("input", showOpacity);
  at("own-threshold").addEventListener("change", drawMasks);
  at("threshold").addEventListener("input", () => {
    at("own-threshold").checked = false;
    drawMasks();
  });
}

await attempt(async () => {
  listen();
  await showBundles();
  showOpacity();
  const { pictures } = await (await send("try/pictures")).json();
  at("pictures").replaceChildren(...pictures.map((name) => new Option(name)));
  at("folder").hidden = !pictures.length;
  document.body.dataset.ready = "true";
});
