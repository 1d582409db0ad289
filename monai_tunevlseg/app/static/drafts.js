/* Drafts of the labels on the page: every edit is saved on the server, also when the page is closed. */
import { send } from "./server.js";

const MAX_BEACON_BYTES = 60_000; // browsers send at most 64 KiB of a closed page

/** Saves the draft of the open image after each edit, one request after another. */
export class DraftSaver {
  /**
   * @param current returns the `path` and the `body` of the request that saves the shown labels
   * @param onError called with the error of a draft that is not saved
   * @param onRecovery called when a draft is saved after one that was not
   */
  constructor(current, onError, onRecovery) {
    this.current = current;
    this.onError = onError;
    this.onRecovery = onRecovery;
    this.edits = 0; // number of edits since the page was opened
    this.savedEdits = 0; // number of them that are in a draft
    this.failed = false; // whether the last attempt to save failed
    this.queue = Promise.resolve();
  }

  /** Save an edit. */
  edited() {
    this.edits++;
    this.inTurn(() => this.#save()).catch(this.onError);
  }

  /** Wait until all edits are saved. */
  async saved() {
    while (this.edits !== this.savedEdits) await this.inTurn(() => this.#save());
  }

  /** Run an action after the requests before it, and return its promise. */
  inTurn(action) {
    const turn = this.queue.then(action);
    this.queue = turn.catch(() => {});
    return turn;
  }

  /** Return whether closing the page could lose an edit: the server fails, or the labels are too large to be sent then. */
  mayBeLost() {
    return this.edits !== this.savedEdits && (this.failed || this.current().body.size > MAX_BEACON_BYTES);
  }

  /** Send the labels of a page that is closed; the browser cancels its other requests. */
  sendLast() {
    if (this.edits === this.savedEdits) return;
    const { path, body } = this.current();
    if (navigator.sendBeacon(path, body)) this.savedEdits = this.edits;
  }

  async #save() {
    const number = this.edits;
    if (number === this.savedEdits) return;
    const { path, body } = this.current();
    try {
      await send(path, { method: "POST", body });
      this.savedEdits = number;
      if (this.failed) this.onRecovery();
      this.failed = false;
    } catch (error) {
      this.failed = true;
      throw new Error(`The draft is not saved: ${error.message}`);
    }
  }
}
