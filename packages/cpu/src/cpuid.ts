import { Cr4 } from "./control-registers.js";
import { State } from "./cpu-state.js";
import type { CpuidLeaf } from "./profile.js";

/** What CPUID answers outside guest mode, or where the hypervisor does not intercept it. */
export interface CpuidSource {
  /** @param leaf unsigned @param subleaf unsigned @param out receives EAX, EBX, ECX, EDX */
  query(leaf: number, subleaf: number, out: Int32Array): void;
}

/** The leaves of a profile, with the bits that follow control registers filled in. */
export class ProfileCpuid implements CpuidSource {
  private readonly leaves: readonly CpuidLeaf[];
  private readonly words: () => Int32Array;

  /** @param words the state words at the time of a query */
  constructor(leaves: readonly CpuidLeaf[], words: () => Int32Array) {
    this.leaves = leaves;
    this.words = words;
  }

  query(leaf: number, subleaf: number, out: Int32Array): void {
    const { leaves } = this;
    out.fill(0);
    for (const row of leaves) {
      if (row[0] !== leaf || (row[1] !== subleaf && hasSubleaves(leaf))) continue;
      for (let i = 0; i < 4; i++) out[i] = row[2 + i] | 0;
      break;
    }
    // OSXSAVE and OSPKE mirror CR4.
    const cr4 = this.words()[State.Cr4];
    if (leaf === 1 && (cr4 & Cr4.OsXsave) !== 0) out[2] |= 1 << 27;
    if (leaf === 7 && subleaf === 0 && (cr4 & Cr4.Pke) !== 0) out[2] |= 1 << 4;
  }
}

function hasSubleaves(leaf: number): boolean {
  return leaf === 4 || leaf === 7 || leaf === 0xb || leaf === 0xd || leaf === 0x8000001d;
}
