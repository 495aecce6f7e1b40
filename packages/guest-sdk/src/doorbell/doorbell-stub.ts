import {
  DOORBELL_GFN,
  DOORBELL_HYPERCALL,
  DOORBELL_MMIO_WRITE_DESCRIPTOR,
  DOORBELL_NOTIFY_DESCRIPTOR,
  DOORBELL_PORT,
  DoorbellRegister,
} from "@hyperwalk/xen";
import { at, atLabel } from "../assembler/memory.js";
import { eax, edx, rax, rdi, rdx, rsi } from "../assembler/register.js";
import type { GuestBuffer, GuestProgram, Value } from "../guest-program.js";
import { GuestSourceError } from "../guest-source-error.js";
import { Variable } from "../variable.js";

/**
 * How a guest reaches the doorbell: by a hypercall with its own vendor's instruction in its text, through the hypercall
 * page, or with the other vendor's instruction, which the hypervisor patches; by OUT to a port; by a store to a page of
 * registers; by a hypercall that names such an address where there is one, else by that store.
 */
export const NOTIFY_TRANSPORTS = [
  "hypercall-inline",
  "hypercall-page",
  "hypercall-patched",
  "pio",
  "mmio",
  "mmio-over-hypercall",
] as const;
export type NotifyTransport = (typeof NOTIFY_TRANSPORTS)[number];

const OUT_DX_EAX = 0xef;
const ADDRESS = DOORBELL_GFN * 4096;

/** How the hypercalls of a guest with this transport are made, so that nothing else asks for a hypercall page. */
export function hypercallsOf(transport: NotifyTransport): "page" | "inline" {
  return transport === "hypercall-page" ? "page" : "inline";
}

/**
 * Emits writes to the doorbell's registers through one transport. Overwrites what hypercall stubs may. Life cycle: one for
 * one program; {@link emitSetUp} before the others, where the program starts.
 */
export class DoorbellStub {
  private readonly g: GuestProgram;
  private readonly transport: NotifyTransport;
  /** Eight bytes: whether the hypercall is offered. */
  private offered: GuestBuffer | undefined;

  /** @throws GuestSourceError for FastABI's registers with the other vendor's instruction */
  constructor(g: GuestProgram, transport: NotifyTransport) {
    this.g = g;
    this.transport = transport;
    if (transport === "hypercall-patched" && g.abi === "fastabi")
      throw new GuestSourceError(
        "UNSUPPORTED_BY_ABI",
        `${transport}: emitted for the traditional registers alone`,
      );
  }

  /** Asks once what there is. */
  emitSetUp(): void {
    if (this.transport !== "mmio-over-hypercall") return;
    const { g } = this;
    const offered = g.buffer(8);
    this.offered = offered;
    g.call(DOORBELL_MMIO_WRITE_DESCRIPTOR, { address: 0, value: 0 });
    // 0 where it is offered, -ENOSYS where it is not.
    g.asm.mov(atLabel(offered.label), rax);
  }

  /** Notifies. */
  emitNotify(): void {
    this.emitWrite(DoorbellRegister.Notify, 1);
  }

  /** Writes a register. @param value 32 bits */
  emitWrite(register: number, value: Exclude<Value, GuestBuffer>): void {
    const { g, transport } = this;
    switch (transport) {
      case "hypercall-inline":
      case "hypercall-page":
        g.call(DOORBELL_NOTIFY_DESCRIPTOR, { register, value });
        return;
      case "hypercall-patched":
        this.emitForeignCall(register, value);
        return;
      case "pio":
        this.load(value);
        g.asm.mov(edx, DOORBELL_PORT + register);
        g.asm.raw(OUT_DX_EAX);
        return;
      case "mmio":
        this.emitStore(register, value);
        return;
      case "mmio-over-hypercall":
        this.emitStoreOrCall(register, value);
    }
  }

  private emitForeignCall(register: number, value: Exclude<Value, GuestBuffer>): void {
    const { asm, vendor } = this.g;
    if (value instanceof Variable) asm.mov(rdx, value.register);
    else asm.mov(rdx, value);
    asm.mov(rsi, register);
    asm.mov(rdi, DOORBELL_NOTIFY_DESCRIPTOR.subop);
    asm.mov(rax, DOORBELL_HYPERCALL);
    asm.plain(vendor === "amd" ? "vmcall" : "vmmcall");
  }

  private emitStore(register: number, value: Exclude<Value, GuestBuffer>): void {
    const { asm } = this.g;
    this.load(value);
    asm.mov(edx, ADDRESS);
    asm.mov(at(rdx, register), eax);
  }

  private emitStoreOrCall(register: number, value: Exclude<Value, GuestBuffer>): void {
    const { g, offered } = this;
    if (offered === undefined)
      throw new GuestSourceError(
        "VALUE",
        "mmio-over-hypercall: what is offered is asked before the first write",
      );
    const { asm } = g;
    const fallback = asm.label("no such hypercall");
    const done = asm.label("written");
    asm.alu("cmp", atLabel(offered.label), 0, 64);
    asm.jcc("ne", fallback);
    g.call(DOORBELL_MMIO_WRITE_DESCRIPTOR, { address: ADDRESS + register, value });
    asm.jmp(done);
    asm.bind(fallback);
    this.emitStore(register, value);
    asm.bind(done);
  }

  private load(value: Exclude<Value, GuestBuffer>): void {
    const { asm } = this.g;
    if (value instanceof Variable) asm.mov(rax, value.register);
    else asm.mov(eax, Number(value));
  }
}
