import { closeSync, openSync, writeSync } from "node:fs";
import { unwritable } from "./files.js";

/** Lines that are written at a time. */
const LINES = 1024;

/** A file of lines that come one by one. It is opened when it is asked for: a guest that is refused leaves it as it was. */
export class LineFile {
  private readonly argument: string;
  private readonly path: string;
  private file: number | undefined;
  private waiting: string[] = [];

  /** @param argument that names it */
  constructor(argument: string, path: string) {
    this.argument = argument;
    this.path = path;
  }

  /** Empties the file. Without this the first line does. @throws UsageError when it cannot be written */
  open(): void {
    this.explained(() => {
      this.file ??= openSync(this.path, "w");
    });
  }

  /** @param line with its line end @throws UsageError when it cannot be written */
  write(line: string): void {
    this.open();
    if (this.waiting.push(line) >= LINES) this.flush();
  }

  /** @throws UsageError when what is waiting cannot be written */
  close(): void {
    this.flush();
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }

  private flush(): void {
    const { file, waiting } = this;
    this.waiting = [];
    this.explained(() => {
      if (file !== undefined && waiting.length > 0) writeSync(file, waiting.join(""));
    });
  }

  private explained(write: () => void): void {
    try {
      write();
    } catch (error) {
      throw unwritable(this.argument, this.path, error);
    }
  }
}
