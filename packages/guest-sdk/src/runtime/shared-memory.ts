import { type ConfidentialKind, encryptsRegisters } from "@hyperwalk/xen";
import type { Assembler } from "../assembler/assembler.js";
import { Label, linearAddress } from "../assembler/label.js";
import { eax, rcx, rdi } from "../assembler/register.js";

const PAGE = 4096;

/** What an encrypted guest shares with the hypervisor: the GHCB page, the bounce buffer, the program's own buffers. */
export class SharedMemory {
  readonly ghcb: Label = new Label("GHCB");
  readonly bounce: Label = new Label("bounce buffer");
  private readonly start = new Label("shared memory");
  readonly end: Label = new Label("end of shared memory");
  private readonly ghcbBytes: number;

  constructor(confidential: ConfidentialKind | undefined) {
    this.ghcbBytes = encryptsRegisters(confidential) ? PAGE : 0;
  }

  /** @param structBytes of the largest struct @param bufferBytes of all buffers, from the start of a page on */
  bytes(structBytes: number, bufferBytes: number): number {
    return this.ghcbBytes + pages(structBytes) + pages(bufferBytes);
  }

  /** Zeros with their labels; at the start of a page. */
  emit(a: Assembler, structBytes: number, emitBuffers: () => void): void {
    a.bind(this.start);
    a.bind(this.ghcb);
    a.zeros(this.ghcbBytes);
    a.bind(this.bounce);
    a.zeros(pages(structBytes));
    emitBuffers();
    a.align(PAGE);
    a.bind(this.end);
  }

  /** The toolstack encrypts the whole image: what is shared begins as ciphertext, and is cleared first. @param from its start */
  emitClear(a: Assembler, from: Label = this.start): void {
    a.mov(rdi, linearAddress(from));
    a.mov(rcx, linearAddress(this.end));
    a.alu("sub", rcx, rdi);
    a.shift("shr", rcx, 3);
    a.mov(eax, 0);
    a.plain("repStosq");
  }
}

function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}
