/* Drawing of pictures, and of masks in the colors of their texts. */

/** Return the color of text number `index`, [r, g, b]: the same as that of the package's overlays. */
export function colorOf(index) {
  const hue = ((1 / 3 + index * 0.618034) % 1) * 6;
  const channel = (n) => {
    const k = (n + hue) % 6;
    return Math.round(255 * (1 - 0.9 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Return a color for style sheets. */
export const cssColor = (color) => `rgb(${color.join(" ")})`;

/** Draw a bitmap at its own size. */
export function drawPicture(canvas, bitmap) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

/** Draw `colorAt(pixel)`, which is [r, g, b] or null, opaque into a canvas of width * height. */
export function drawPixels(canvas, width, height, colorAt) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const color = colorAt(pixel);
    if (color) {
      image.data.set(color, 4 * pixel);
      image.data[4 * pixel + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}
