import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import { CONSOLE_IO_READ, CONSOLE_IO_WRITE, CONSOLE_IO_WRITE_IN } from "./descriptors.gen.js";
import type { Operation } from "./operation.js";

/** Bytes that Xen copies at a time (`guest_console_write`). */
const CHUNK = 127;

const CONSOLE_IO: Stage = {
  name: "do_console_io",
  phase: "operation",
  instructions: 60,
  basis: "estimate",
  source: "read in source: XSM hook and dispatch; the serial line's own time is not modelled",
  range: [40, 150],
  lfences: 1,
};

/**
 * CONSOLEIO_write: release builds let only the hardware domain write, others get -EPERM. Text is taken in chunks of
 * {@link CHUNK} bytes; what was taken before a bad address stays written.
 */
export const write: Operation = {
  descriptor: CONSOLE_IO_WRITE,
  stage: CONSOLE_IO,
  handle: (call) => {
    if (!call.domain.config.hardwareDomain) return -Errno.EPERM;
    const { inputs, access } = call;
    let lo = inputs[CONSOLE_IO_WRITE_IN.buffer];
    let hi = inputs[CONSOLE_IO_WRITE_IN.buffer + 1];
    let left = inputs[CONSOLE_IO_WRITE_IN.count] >>> 0;
    while (left > 0) {
      const count = Math.min(left, CHUNK);
      if (access.copyFromGuest(lo, hi, count) !== 0) return -Errno.EFAULT;
      const { buffer, byteOffset } = access.buffer;
      call.domain.console.writeConsoleIo(new Uint8Array(buffer, byteOffset, count));
      const next = (lo + count) | 0;
      if (next >>> 0 < lo >>> 0) hi = (hi + 1) | 0;
      lo = next;
      left -= count;
    }
    return 0;
  },
};

/** CONSOLEIO_read: nothing is ever typed at the simulated serial line. */
export const read: Operation = {
  descriptor: CONSOLE_IO_READ,
  stage: CONSOLE_IO,
  handle: (call) => (call.domain.config.hardwareDomain ? 0 : -Errno.EPERM),
};
