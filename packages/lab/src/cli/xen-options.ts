import type { ProcessorProfile } from "@hyperwalk/cpu";
import { parseEpt, parseSpecCtrl, type XenConfig, XenConfigError } from "@hyperwalk/xen";
import { UsageError } from "./usage-error.js";

/** Parts of Xen's own command line that `compare` and `boot` take. */
export interface XenOptions {
  readonly specCtrl?: string;
  readonly ept?: string;
}

/** Xen's switches on a machine. @throws UsageError for text that Xen would refuse */
export function xenConfig({ specCtrl, ept }: XenOptions, machine: ProcessorProfile): XenConfig {
  return {
    ...parsed("--spec-ctrl", specCtrl, (text) => parseSpecCtrl(text, machine)),
    ...parsed("--ept", ept, (text) => parseEpt(text, machine)),
  };
}

function parsed(option: string, text: string | undefined, parse: (text: string) => XenConfig): XenConfig {
  if (text === undefined) return {};
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof XenConfigError)) throw error;
    throw new UsageError(`option ${option}`, `${error.key}: "${String(error.value)}"`, error.allowed);
  }
}
