import { ImageField, ResultField, type TestCase } from "../layout.js";

/** The condition codes, stack, tags and exceptions but not #U, #P and C1, which follow from the last bit. */
const STATUS = 0xffff & ~0x230;

/**
 * How two results of a transcendental instruction differ by more than a unit in the last place of 64 bits, or an empty
 * string.
 */
export function farApart(test: TestCase, native: DataView, simulated: DataView): string {
  const status = (view: DataView) => view.getUint16(ResultField.Image + ImageField.StatusWord, true) & STATUS;
  const tags = (view: DataView) => view.getUint8(ResultField.Image + ImageField.InUse);
  let found = "";
  if (status(native) !== status(simulated))
    found += ` fsw ${status(native).toString(16)} / ${status(simulated).toString(16)}`;
  if (tags(native) !== tags(simulated)) found += ` ftw ${tags(native)} / ${tags(simulated)}`;
  for (let i = 0; i < 8; i++) {
    const at = ResultField.Image + ImageField.Stack + 16 * i;
    const distance = positionOf(native, at) - positionOf(simulated, at);
    if (distance > 1n || distance < -1n) found += ` st${i} ${text(native, at)} / ${text(simulated, at)}`;
  }
  if (found === "") return "";
  const start = new DataView(test.image.buffer);
  return `${test.keys[0]} of ${text(start, ImageField.Stack)}, ${text(start, ImageField.Stack + 16)}:${found}`;
}

/** Values in order, neighbours one apart; negative ones are far away from positive ones. */
function positionOf(view: DataView, at: number): bigint {
  const significand = view.getBigUint64(at, true) & 0x7fffffffffffffffn;
  return (BigInt(view.getUint16(at + 8, true)) << 63n) | significand;
}

function text(view: DataView, at: number): string {
  const significand = view.getBigUint64(at, true).toString(16).padStart(16, "0");
  return `${view.getUint16(at + 8, true).toString(16)}:${significand}`;
}
