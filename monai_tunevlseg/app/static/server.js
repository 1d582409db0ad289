/* Requests to the server of the page. */

/** Send a request, and return its response; an error has the server's sentence. */
export async function send(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not respond; start it again.");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Error(answer.error ?? `The server responds with ${response.status}.`);
}

/** Return a path with a query. */
export const withQuery = (path, query) => `${path}?${new URLSearchParams(query)}`;

/** Return the JSON object and the maps, Uint8Arrays of width * height, of a message of the server. */
export function unpackMaps(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const size = header.width * header.height;
  const maps = [];
  for (let start = 4 + length; start < buffer.byteLength; start += size) maps.push(new Uint8Array(buffer, start, size));
  return { header, maps };
}

/** Return a message with a JSON object and one map as runs of equal pixels: all lengths, then all values. */
export function packMap(header, map) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length);
  const [lengths, values] = [[], []];
  for (let start = 0, end = 1; end <= map.length; end++)
    if (map[end] !== map[start]) {
      lengths.push(end - start);
      values.push(map[start]);
      start = end;
    }
  return new Blob([length, text, new Uint32Array(lengths), new Uint8Array(values)]);
}

/** Return a picture of the server as a bitmap. */
export async function loadBitmap(response) {
  return createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
}
