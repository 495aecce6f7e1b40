import type { LocalApic } from "./apic/local-apic.js";
import { Cr4 } from "./control-registers.js";
import { State } from "./cpu-state.js";
import type { CpuidLeaf } from "./profile.js";

const FEATURE_APIC = 1 << 9;

/** What CPUID answers outside guest mode, or where the hypervisor does not intercept it. */
export interface CpuidSource {
  /** @param leaf unsigned @param subleaf unsigned @param out receives EAX, EBX, ECX, EDX */
  query(leaf: number, subleaf: number, out: Int32Array): void;
}

/** The leaves of a profile, with the bits that follow control registers filled in. */
export class ProfileCpuid implements CpuidSource {
  private readonly leaves: readonly CpuidLeaf[];
  private readonly words: () => Int32Array;

  private readonly apic: LocalApic | undefined;

  /** @param words the state words at the time of a query @param apic whose ID and state the leaves show */
  constructor(leaves: readonly CpuidLeaf[], words: () => Int32Array, apic?: LocalApic) {
    this.leaves = leaves;
    this.words = words;
    this.apic = apic;
  }

  query(leaf: number, subleaf: number, out: Int32Array): void {
    const { leaves } = this;
    out.fill(0);
    for (const row of leaves) {
      if (row[0] !== leaf || (row[1] !== subleaf && hasSubleaves(leaf))) continue;
      for (let i = 0; i < 4; i++) out[i] = row[2 + i] | 0;
      break;
    }
    if (this.apic !== undefined) showApic(leaf, out, this.apic);
    // OSXSAVE and OSPKE mirror CR4.
    const cr4 = this.words()[State.Cr4];
    if (leaf === 1 && (cr4 & Cr4.OsXsave) !== 0) out[2] |= 1 << 27;
    if (leaf === 7 && subleaf === 0 && (cr4 & Cr4.Pke) !== 0) out[2] |= 1 << 4;
  }
}

/** The initial APIC ID, and the APIC's feature bit while IA32_APIC_BASE has it enabled. */
function showApic(leaf: number, out: Int32Array, apic: LocalApic): void {
  if (leaf === 0xb) out[3] = apic.id;
  if (leaf !== 1 && leaf !== 0x80000001) return;
  if (!apic.enabled) out[3] &= ~FEATURE_APIC;
  if (leaf === 1) out[1] = (out[1] & 0xffffff) | (apic.id << 24);
}

/**
 * A register of a profile's leaf, 0 where it has none.
 * @param register 0 to 3: EAX, EBX, ECX, EDX
 */
export function leafRegister(leaves: readonly CpuidLeaf[], leaf: number, register: number): number {
  return leaves.find((row) => row[0] === leaf && row[1] === 0)?.[2 + register] ?? 0;
}

function hasSubleaves(leaf: number): boolean {
  return leaf === 4 || leaf === 7 || leaf === 0xb || leaf === 0xd || leaf === 0x8000001d;
}
