// A picture: drawn, dropped, pasted, opened from a file, or one of the examples.
import { useEffect, useRef, useState } from "preact/hooks";
import { free, pictureSize } from "../contract.js";
import { html } from "../html.js";
import { Pixels } from "./pixels.js";

const LARGEST = 256; // pixels of a longer side, where the axes are free

export function Picture({ contract, input, examples, give }) {
  const shown = useRef();
  const pixels = useRef();
  const pen = useRef({ at: null, colour: 255 });
  const [erasing, setErasing] = useState(false);
  const [note, setNote] = useState("");
  const [size, setSize] = useState(() => pictureSize(contract, input));
  pen.current.colour = erasing ? 0 : 255;
  const radius = Math.max(0.8, Math.max(...size) / 32);

  const show = () => {
    const context = shown.current?.getContext("2d");
    context?.drawImage(pixels.current.canvas, 0, 0);
  };
  const changed = async () => {
    show();
    give({ picture: await pixels.current.png() });
  };
  const begin = ([height, width]) => {
    pixels.current = new Pixels(width, height);
    setSize([height, width]);
    if (shown.current) [shown.current.width, shown.current.height] = [width, height];
  };

  const load = async (blob, name) => {
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob);
    } catch {
      setNote(`${name} is not a picture that this browser can read.`);
      return;
    }
    if (free(contract, input)) {
      const shrink = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
      begin(pictureSize(contract, input, [bitmap.height * shrink, bitmap.width * shrink]));
    } else if (!pixels.current) {
      begin(pictureSize(contract, input));
    }
    pixels.current.load(bitmap);
    setNote(`${name}, ${pixels.current.width} × ${pixels.current.height} pixels`);
    changed();
  };
  const take = async (example) => {
    const blob = await fetch(example.file).then((response) => response.blob(), () => null);
    if (blob) await load(blob, example.name);
    else setNote("The service does not answer.");
  };

  useEffect(() => {
    begin(pictureSize(contract, input));
    if (examples?.pictures?.length) take(examples.pictures[0]);
    else show();
    const paste = (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
      if (file) load(file, "The pasted picture");
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, [JSON.stringify([input, contract.axes])]); // a new version that asks for the same keeps the picture

  const place = (event) => {
    const box = shown.current.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * size[1], ((event.clientY - box.top) / box.height) * size[0]];
  };
  const draw = (from, to) => {
    pixels.current.stroke(from, to, radius, pen.current.colour);
    changed();
  };
  const down = (event) => {
    if (event.button !== 0) return;
    shown.current.setPointerCapture(event.pointerId);
    pen.current.at = place(event);
    draw(pen.current.at, pen.current.at);
  };
  const move = (event) => {
    if (!pen.current.at) return;
    const to = place(event);
    draw(pen.current.at, to);
    pen.current.at = to;
  };
  const up = () => (pen.current.at = null);

  const [cursor, setCursor] = useState(null);
  const step = Math.max(1, Math.round(Math.max(...size) / 28));
  const keys = (event) => {
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const from = cursor ?? [size[1] / 2, size[0] / 2];
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      const to = [Math.min(size[1], Math.max(0, from[0] + dx)), Math.min(size[0], Math.max(0, from[1] + dy))];
      setCursor(to);
      if (event.shiftKey) draw(from, to);
    } else if (event.key === " ") {
      setCursor(from);
      draw(from, from);
    } else return;
    event.preventDefault();
  };
  const drop = (event) => {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (file) load(file, file.name);
  };
  const clear = () => {
    pixels.current.clear();
    setNote("Draw here, or drop a picture.");
    changed();
  };

  return html`
    <div class="picture" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
      <div class="frame">
        <canvas ref=${shown} tabindex="0" role="img" style=${{ aspectRatio: `${size[1]} / ${size[0]}` }}
          aria-label="Your picture. Draw with mouse, finger or pen; with a keyboard, arrows move the pen, Shift with arrows draws a line, Space a dot."
          onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up}
          onKeyDown=${keys} onBlur=${() => setCursor(null)}></canvas>
        ${cursor && html`<span class="pen" style=${{ left: `${(100 * cursor[0]) / size[1]}%`, top: `${(100 * cursor[1]) / size[0]}%` }}></span>`}
      </div>
      <div class="tools">
        <button type="button" aria-pressed=${!erasing} onClick=${() => setErasing(false)}>Draw</button>
        <button type="button" aria-pressed=${erasing} onClick=${() => setErasing(true)}>Erase</button>
        <button type="button" onClick=${clear}>Clear</button>
        <label class="button">Open…<input type="file" accept="image/*" class="unseen" onChange=${(event) => {
          const file = event.target.files[0];
          if (file) load(file, file.name);
          event.target.value = "";
        }} /></label>
      </div>
      <p class="note" aria-live="polite">${note || "Draw here, drop or paste a picture."}</p>
      ${examples?.pictures && html`<div class="examples" role="group" aria-label="Examples">
        ${examples.pictures.map((example) => html`<button type="button" key=${example.file} title=${example.name} onClick=${() => take(example)}>
          <img src=${example.file} alt=${example.name} /></button>`)}
      </div>`}
    </div>`;
}
