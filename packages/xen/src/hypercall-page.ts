/** Bytes of one stub, and stubs of a page. */
const STUB_BYTES = 32;
const STUBS = 128;
const IRET = 23;
const INT3 = 0xcc;
const RET = 0xc3;
const UD2 = [0x0f, 0x0b];
/** `mov $imm32,%eax`, the number still 0. */
const MOV_EAX = [0xb8, 0, 0, 0, 0];

/**
 * Contents of the hypercall page (`{svm,vmx}_init_hypercall_page`): int3 everywhere, then at 32·n `mov $n,%eax`, the
 * vendor's hypercall instruction, `ret`; stub 23 (iret) is `ud2`. The same bytes serve 32- and 64-bit callers.
 */
export function hypercallPage(instruction: readonly number[]): Uint8Array {
  const page = new Uint8Array(STUBS * STUB_BYTES).fill(INT3);
  for (let n = 0; n < STUBS; n++) {
    const at = n * STUB_BYTES;
    if (n === IRET) page.set(UD2, at);
    else {
      page.set(MOV_EAX, at);
      page[at + 1] = n;
      page.set(instruction, at + MOV_EAX.length);
      page[at + MOV_EAX.length + instruction.length] = RET;
    }
  }
  return page;
}
