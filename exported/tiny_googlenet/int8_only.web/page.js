// The page: an image in, the answer as the model gives it, and whether this browser answers as at the export.

const TOP = 5; // classes that are shown
const $ = (id) => document.getElementById(id);

// ---- the worker, which has the model

const worker = new Worker("worker.js", { type: "module" });
const open = new Map(); // id -> what to do with the reply
let last = 0;

function ask(method, args) {
  return new Promise((resolve, reject) => {
    open.set(++last, { resolve, reject });
    worker.postMessage({ id: last, method, args });
  });
}

worker.addEventListener("message", ({ data: { id, value, error } }) => {
  const { resolve, reject } = open.get(id);
  open.delete(id);
  if (error) reject(Object.assign(new Error(error.message), { name: error.name }));
  else resolve(value);
});
worker.addEventListener("error", (event) => {
  event.preventDefault();
  proof("bad", "The model's worker did not start; use a newer browser");
});

// ---- what is loaded, and its proof

let contract = null;

function proof(kind, text) {
  $("proof").className = `proof ${kind}`;
  $("proof-text").textContent = text;
}

async function start() {
  try {
    const loaded = await ask("load", { url: new URL("./", location.href).href });
    contract = loaded.contract;
    describe(loaded);
    $("file").disabled = false;
  } catch (error) {
    proof("bad", "The model is not loaded");
    complain(error);
    return;
  }
  try {
    const vectors = await ask("selfTest");
    const photos = await ask("photoTest");
    const right = vectors.passed && photos.passed;
    const counted = `${vectors.vectors.length} golden vectors, ${photos.photos.length} photos`;
    if (right) proof("good", `Answers as at export (${counted})`);
    else proof("bad", `Answers otherwise than at export (${failures(vectors, photos)} of ${counted})`);
  } catch (error) {
    proof("bad", `Cannot be tested: ${error.message}`);
  }
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("service-worker.js").catch(() => {});
}

function failures({ vectors }, { photos }) {
  return [...vectors, ...photos].filter((item) => !item.passed).length;
}

function describe({ manifest, file, bytesLoaded }) {
  const name = manifest.model?.name ?? "Classifier";
  document.title = $("name").textContent = name;
  const [height, width, channels] = contract.input_shape;
  const facts = {
    classes: contract.labels.join(", "),
    input: `${width} x ${height} pixels, ${channels === 1 ? "greyscale" : "RGB"}, ${contract.fit ?? "stretch"}, ${contract.resize ?? "bilinear"}`,
    module: `${file}, ${bytesLoaded.toLocaleString("en")} bytes with weights and manifest`,
    "exported with": `fmnist-edge ${manifest.versions?.["fmnist-edge"] ?? ""}, from a model with SHA-256 ${manifest.model?.sha256.slice(0, 12)}…`,
  };
  for (const [term, text] of Object.entries(facts)) {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    [dt.textContent, dd.textContent] = [term, text];
    $("facts").append(dt, dd);
  }
  $("polarity-box").hidden = !contract.polarity;
  for (const [index, photo] of (manifest.photos?.images ?? []).entries()) addExample(photo.file, index + 1);
  $("examples-box").hidden = !$("examples").children.length;
}

function addExample(file, number) {
  const [item, button, picture] = ["li", "button", "img"].map((tag) => document.createElement(tag));
  button.type = "button";
  picture.src = file;
  picture.alt = `Example ${number}`;
  button.append(picture);
  button.addEventListener("click", async () => take(await (await fetch(file)).blob()));
  item.append(button);
  $("examples").append(item);
}

// ---- an image and its answer

let current = null; // the image that is shown
let turn = 0; // of the last request; older answers are dropped

async function take(image) {
  if (!contract) return;
  current = image;
  const mine = ++turn;
  $("message").hidden = true;
  try {
    // Transparent pixels lie on the ground that the model's own images have.
    const ground = contract.polarity === "dark-on-light" ? 255 : 0;
    const answer = await ask("classify", {
      image,
      options: { invert: contract.polarity ? $("invert").value : "never", ground },
    });
    if (mine === turn) show(image, answer);
  } catch (error) {
    if (mine === turn) complain(error);
  }
}

function complain(error) {
  $("result").hidden = $("waiting").hidden = true;
  $("message").hidden = false;
  $("message").textContent = sentence(error.message);
}

function sentence(text) {
  const isWord = /^[a-z]+ /.test(text); // and not the name of a file
  return `${isWord ? text.charAt(0).toUpperCase() + text.slice(1) : text}.`;
}

function show(image, answer) {
  $("waiting").hidden = $("message").hidden = true;
  $("result").hidden = false;
  URL.revokeObjectURL($("original").src);
  $("original").src = URL.createObjectURL(image);
  $("label").textContent = named(answer);
  draw(answer.pixels);
  $("seen-text").textContent = answer.looks_inverted
    ? "as the model sees it; it looks inverted"
    : "as the model sees it";
  const best = [...answer.probabilities.keys()].sort(
    (a, b) => answer.probabilities[b] - answer.probabilities[a] || a - b,
  );
  $("bars").replaceChildren(
    ...best.slice(0, TOP).map((index) => bar(contract.labels[index], answer.probabilities[index])),
  );
  $("took").textContent = `${answer.latency_ms.toPrecision(3)} ms, from image file to answer`;
  if ($("label").getBoundingClientRect().bottom > innerHeight) $("answer-title").scrollIntoView();
}

function named(answer) {
  if (contract.task === "multilabel") return answer.labels.join(", ") || "None of the labels";
  return answer.label ?? "Unknown";
}

function draw(pixels) {
  const [height, width, channels] = contract.input_shape;
  const canvas = Object.assign($("seen"), { width, height });
  const shown = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) shown.data[4 * i + c] = pixels[i * channels + (channels === 1 ? 0 : c)];
    shown.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(shown, 0, 0);
}

function bar(label, probability) {
  const [row, head, length, cell] = ["tr", "th", "span", "td"].map((tag) => document.createElement(tag));
  head.scope = "row";
  length.className = "bar";
  length.style.width = `${100 * probability}%`;
  cell.textContent = `${(100 * probability).toFixed(1)} %`;
  head.append(label, length);
  row.append(head, cell);
  return row;
}

// ---- where images come from

$("file").addEventListener("change", () => {
  if ($("file").files.length) take($("file").files[0]);
  $("file").value = "";
});
$("invert").addEventListener("change", () => current && take(current));

document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])][0];
  if (file) take(file);
  else complain(new Error("there is no image in the clipboard"));
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) take(file);
  else complain(new Error("what was dropped is no file; drop an image file"));
});

// ---- the camera

let stream = null;

if (navigator.mediaDevices?.getUserMedia) $("camera").hidden = false;

$("camera").addEventListener("click", async () => {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    complain(new Error(`the camera cannot be used (${error.message || error.name})`));
    return;
  }
  $("video").srcObject = stream;
  await $("video").play();
  $("live").hidden = false;
  $("take").focus();
});
$("stop").addEventListener("click", () => {
  closeCamera();
  $("camera").focus();
});
$("take").addEventListener("click", async () => {
  const { videoWidth: width, videoHeight: height } = $("video");
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  const image = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  closeCamera();
  $("camera").focus();
  if (image) take(image);
  else complain(new Error("the camera has given no picture yet; try again"));
});

function closeCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = $("video").srcObject = null;
  $("live").hidden = true;
}

start();
