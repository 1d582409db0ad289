/* The tuning of a model on the submitted labels: start, progress, result. */
import { send } from "./server.js";

const at = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const RUNNING = ["SUBMITTED", "RUNNING"];
const dice = (value) => (value == null ? "none" : value.toFixed(1));

/** Start a training, and show it until it ends. */
export async function startTraining(model, epochs) {
  const asked = { model, max_epochs: epochs };
  await send("annotate/training", { method: "POST", body: JSON.stringify(asked) });
  await showTraining();
}

export async function stopTraining() {
  await send("annotate/training", { method: "DELETE" });
}

/** Show the last training, until it ends. */
export async function showTraining() {
  let [state, epoch, epochs] = [null, null, null];
  do {
    if (state) await pause(1000);
    state = await (await send("annotate/training")).json();
    if (state?.epoch) ({ epoch, epochs } = state); // the server reports the last lines of its log only
    showState(state && { ...state, epoch, epochs });
  } while (state && RUNNING.includes(state.status));
  if (state?.status === "DONE") document.dispatchEvent(new Event("tuned"));
}

function showState(state) {
  const running = state !== null && RUNNING.includes(state.status);
  at("stop").disabled = !running;
  at("tuning").hidden = !running;
  if (running) {
    at("tuning").max = state.epochs ?? 1;
    at("tuning").value = state.epoch ?? 0;
  }
  at("tuning-result").textContent = state === null ? "" : sentence(state);
}

function sentence({ model, status, epoch, epochs, reason, result }) {
  if (RUNNING.includes(status)) return `${model}: ${epoch ? `epoch ${epoch} of ${epochs}` : "the training starts"}`;
  if (status === "ERROR") return `${model}: the training failed: ${reason ?? "see the server's log"}`;
  if (status !== "DONE") return `${model}: the training was stopped`;
  return `${model}: validation Dice, old ${dice(result?.old_dice)}, new ${dice(result?.new_dice)}; ` +
    `the ${result?.kept} checkpoint is kept`;
}
