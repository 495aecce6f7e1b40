/** Whole numbers from 0, below what is asked for; the same for the same seed. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** The first bytes of a file, or all of it, with some replaced. */
export function mutatedBytes(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const mutated = bytes.slice(0, random(8) === 0 ? random(bytes.length) : bytes.length);
  for (let n = random(4); n >= 0 && mutated.length > 0; n--) mutated[random(mutated.length)] = random(256);
  return mutated;
}

/** What nobody expects in the place of a value. */
const ODD = [
  "null",
  "",
  "[]",
  "{}",
  "-1",
  "0",
  "1e300",
  "9007199254740993",
  "0.5",
  ".nan",
  "true",
  '"x"',
  '"constructor"',
  '"__proto__"',
  "[[1]]",
  "*nobody",
  "&a [*a]",
  "!!binary aGk=",
  "2026-11-22",
  `"${"x".repeat(200)}"`,
];

/** A file of YAML or JSON as people, editors and broken disks spoil it: of lines, values, keys and bytes some are wrong. */
export function mutatedText(text: string, random: (below: number) => number): string {
  const lines = text.split("\n");
  const at = random(lines.length);
  const another = random(lines.length);
  switch (random(7)) {
    case 0:
      return new TextDecoder().decode(mutatedBytes(new TextEncoder().encode(text), random));
    case 1:
      lines.splice(at, 1);
      break;
    case 2:
      lines.splice(another, 0, lines[at]);
      break;
    case 3:
      lines[at] = `${" ".repeat(random(4))}${lines[at].trimStart()}`;
      break;
    case 4: {
      const letter = random(Math.max(lines[at].length, 1));
      lines[at] = lines[at].slice(0, letter) + lines[at].slice(letter + 1);
      break;
    }
    default: {
      const values = [...text.matchAll(/"[^"\n]*"|[\w.+-]+/g)];
      const { index, 0: value } = values[random(values.length)];
      return text.slice(0, index) + ODD[random(ODD.length)] + text.slice(index + value.length);
    }
  }
  return lines.join("\n");
}
