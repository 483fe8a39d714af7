/** A canvas made as large as it is shown, in the screen's own pixels; drawn on in CSS pixels. Undefined where there is none to draw on. */
export function sized(canvas: HTMLCanvasElement): { ctx: CanvasRenderingContext2D; width: number; height: number } | undefined {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const ctx = canvas.getContext("2d");
  ctx?.scale(ratio, ratio);
  return ctx ? { ctx, width, height } : undefined;
}
