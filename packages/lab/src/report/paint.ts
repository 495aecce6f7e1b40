/** How text is set off; {@link plain} leaves it as it is. */
export interface Paint {
  strong(text: string): string;
  faint(text: string): string;
  warn(text: string): string;
}

export const plain: Paint = { strong: (text) => text, faint: (text) => text, warn: (text) => text };

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    text === "" ? "" : `\u001b[${on}m${text}\u001b[${off}m`;

/** ANSI escape sequences, for terminals. */
export const ansi: Paint = { strong: sgr(1, 22), faint: sgr(2, 22), warn: sgr(33, 39) };
