import { DomainCreate } from "../domain-create.js";
import { VIRIDIAN_DEFAULTS, VIRIDIAN_GROUPS, type ViridianGroup } from "../viridian/viridian-group.js";
import { type DomainConfig, type HypercallAbiName, MAX_VCPUS } from "../xen-config.js";
import { XlConfigError, type XlConfigErrorCode } from "./xl-config-error.js";
import { readXlSettings, type XlSetting } from "./xl-source.js";

/** A domain as a configuration file describes it. Paths are as they stand there. */
export interface XlConfig {
  readonly name: string;
  readonly type: "pvh" | "hvm";
  /** Path of the image: `kernel`, or an HVM domain's `firmware_override`. */
  readonly kernel: string;
  /** Path of the one module. */
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly hap: boolean;
  readonly viridian: readonly ViridianGroup[];
  /** Undefined: the default. */
  readonly maxEventChannels: number | undefined;
  readonly abi: HypercallAbiName;
  /** shared_info and the grant table are mapped beforehand (the key of the FastABI series). */
  readonly fixedMemoryLayout: boolean;
  /** The toolstack's creation flags: bits of `DomainCreate`. */
  readonly createFlags: number;
  /** Keys that are xl's, but say nothing to the simulator. */
  readonly ignored: readonly string[];
}

const KEYS = [
  "name",
  "type",
  "kernel",
  "firmware_override",
  "ramdisk",
  "cmdline",
  "root",
  "extra",
  "memory",
  "maxmem",
  "vcpus",
  "maxvcpus",
  "hap",
  "viridian",
  "max_event_channels",
  "physaddr_abi",
  "fastabi",
  "fixed_mem_layout",
] as const;
type Key = (typeof KEYS)[number];

/** Devices, life cycle and placement, which a domain here does not have or need. */
const IGNORED: ReadonlySet<string> = new Set(
  (
    "uuid builder disk vif vfb console serial vga vnc vncviewer vtpm p9 pci usb usbctrl usbdev boot on_poweroff on_reboot " +
    "on_watchdog on_crash on_soft_reset autoballoon pool cpus cpus_soft cpu_weight cap cpuid timer_mode tsc_mode rtc_timeoffset " +
    "localtime hpet acpi apic pae nx seclabel driver_domain device_tree max_grant_frames max_maptrack_frames max_grant_version"
  ).split(" "),
);

const MIB = 2 ** 20;
const DEFAULT_MEMORY_MIB = 128;
const MAX_MEMORY_MIB = 2 ** 20;
const MAX_PORTS = 2 ** 17;

/**
 * Reads a domain configuration as `xl create` takes it.
 * @param file name for messages
 * @throws XlConfigError with line, key and what is allowed
 */
export function parseXlConfig(text: string, file = "xl.cfg"): XlConfig {
  const keys = new XlKeys(text, file);
  const type = keys.word("type", ["pvh", "hvm"]);
  if (type === undefined)
    throw keys.missing("type", "pvh or hvm; xl's default, pv, has no hypercalls of these kinds");
  const name = keys.text("name");
  if (name === undefined || name === "") throw keys.missing("name", "a string that is not empty");
  const firmware = type === "hvm" ? keys.text("firmware_override") : undefined;
  const kernel = keys.text("kernel") ?? firmware;
  if (kernel === undefined || kernel === "") throw keys.missing("kernel", "the path of an image");
  const memory = keys.number("memory", 1, MAX_MEMORY_MIB, "MiB") ?? DEFAULT_MEMORY_MIB;
  keys.same("maxmem", memory, "memory: a domain here has all its memory from the start");
  const vcpus = keys.number("vcpus", 1, MAX_VCPUS, "vCPUs") ?? 1;
  keys.same("maxvcpus", vcpus, "vcpus: vCPUs are not added later");
  const hap = keys.flag("hap") ?? true;
  const physaddr = keys.flag("physaddr_abi") ?? false;
  const fastabi = keys.flag("fastabi") ?? false;
  if (physaddr && fastabi)
    throw keys.bad("fastabi", "0 with physaddr_abi: both claim bit 7 of EAX in Xen's HVM CPUID leaf");
  return {
    name,
    type,
    kernel,
    ramdisk: keys.text("ramdisk"),
    cmdline: keys.commandLine(),
    memoryBytes: memory * MIB,
    vcpus,
    hap,
    viridian: keys.viridian(),
    maxEventChannels: keys.number("max_event_channels", 2, MAX_PORTS - 1, "the highest port"),
    abi: physaddr ? "physaddr" : fastabi ? "fastabi" : "linear",
    fixedMemoryLayout: keys.flag("fixed_mem_layout") ?? false,
    createFlags:
      DomainCreate.Hvm |
      DomainCreate.OosOff |
      (hap ? DomainCreate.Hap : 0) |
      (physaddr ? DomainCreate.PhysaddrAbi : 0),
    ignored: keys.ignored,
  };
}

/** A domain's configuration from a file's and what its paths name. */
export function xlDomainConfig(config: XlConfig, image: Uint8Array, ramdisk?: Uint8Array): DomainConfig {
  const {
    type,
    cmdline,
    memoryBytes,
    vcpus,
    viridian,
    maxEventChannels,
    abi,
    createFlags,
    fixedMemoryLayout,
  } = config;
  return {
    image,
    ...(type === "hvm" ? { boot: "hvm" } : {}),
    modules: ramdisk === undefined ? [] : [{ bytes: ramdisk, cmdline: "" }],
    cmdline,
    memoryBytes,
    vcpus,
    viridian,
    maxEventChannels,
    abi,
    fixedMemoryLayout,
    createFlags,
    paging: config.hap ? "hap" : "shadow",
  };
}

/** Settings by key, each read with its type. */
class XlKeys {
  readonly ignored: readonly string[];
  private readonly settings = new Map<Key, XlSetting>();
  private readonly file: string;
  private readonly lines: number;

  constructor(text: string, file: string) {
    this.file = file;
    this.lines = text.split("\n").length;
    const ignored: string[] = [];
    for (const setting of readXlSettings(text, file)) {
      const key = KEYS.find((each) => each === setting.key);
      if (key !== undefined) this.settings.set(key, setting);
      else if (IGNORED.has(setting.key)) ignored.push(setting.key);
      else throw this.error("unknown-key", setting, KEYS.join(", "));
    }
    this.ignored = ignored;
  }

  text(key: Key): string | undefined {
    const setting = this.settings.get(key);
    if (setting === undefined) return undefined;
    const { value } = setting;
    if (typeof value !== "string") throw this.error("wrong-type", setting, "a quoted string");
    return value;
  }

  word<T extends string>(key: Key, words: readonly T[]): T | undefined {
    const text = this.text(key);
    const found = words.find((word) => word === text);
    if (text !== undefined && found === undefined) throw this.bad(key, words.join(", "));
    return found;
  }

  number(key: Key, least: number, most: number, what: string): number | undefined {
    const setting = this.settings.get(key);
    if (setting === undefined) return undefined;
    const { value } = setting;
    if (typeof value !== "number") throw this.error("wrong-type", setting, `a number: ${what}`);
    if (value < least || value > most) throw this.bad(key, `${least} to ${most}, ${what}`);
    return value;
  }

  /** xl takes 0 and 1. */
  flag(key: Key): boolean | undefined {
    const value = this.number(key, 0, 1, "no or yes");
    return value === undefined ? undefined : value === 1;
  }

  /** A limit that may only repeat what it limits. */
  same(key: Key, value: number, why: string): void {
    const given = this.number(key, 1, MAX_MEMORY_MIB, why);
    if (given !== undefined && given !== value) throw this.bad(key, `${value}, as ${why}`);
  }

  /** `cmdline`, or `root` and `extra` together. */
  commandLine(): string {
    const cmdline = this.text("cmdline");
    const [root, extra] = [this.text("root"), this.text("extra")];
    if (cmdline !== undefined) {
      const other = root !== undefined ? "root" : extra !== undefined ? "extra" : undefined;
      if (other !== undefined) throw this.bad(other, "nothing beside cmdline");
      return cmdline;
    }
    return [...(root === undefined ? [] : [`root=${root}`]), ...(extra === undefined ? [] : [extra])].join(
      " ",
    );
  }

  /** 0, 1, or groups, with `defaults`, `all` and `!group`. */
  viridian(): readonly ViridianGroup[] {
    const setting = this.settings.get("viridian");
    if (setting === undefined) return [];
    const { value } = setting;
    if (typeof value === "number") return this.flag("viridian") ? VIRIDIAN_DEFAULTS : [];
    const chosen = new Set<ViridianGroup>();
    for (const item of typeof value === "string" ? [value] : value) {
      const [, not, word] = /^(!?)(.*)$/.exec(String(item)) ?? [];
      const groups =
        word === "all"
          ? VIRIDIAN_GROUPS
          : word === "defaults"
            ? VIRIDIAN_DEFAULTS
            : VIRIDIAN_GROUPS.filter((group) => group === word);
      if (groups.length === 0)
        throw this.bad(
          "viridian",
          `0, 1, or a list of defaults, all, ${VIRIDIAN_GROUPS.join(", ")}, each with ! for not`,
        );
      for (const group of groups) {
        if (not === "!") chosen.delete(group);
        else chosen.add(group);
      }
    }
    if (chosen.size > 0 && !chosen.has("base")) throw this.bad("viridian", "base among the groups");
    return VIRIDIAN_GROUPS.filter((group) => chosen.has(group));
  }

  missing(key: Key, allowed: string): XlConfigError {
    return new XlConfigError(
      "missing-key",
      this.file,
      this.settings.get(key)?.line ?? this.lines,
      key,
      allowed,
    );
  }

  bad(key: Key, allowed: string): XlConfigError {
    return new XlConfigError(
      "bad-value",
      this.file,
      this.settings.get(key)?.line ?? this.lines,
      key,
      allowed,
    );
  }

  private error(code: XlConfigErrorCode, { key, line }: XlSetting, allowed: string): XlConfigError {
    return new XlConfigError(code, this.file, line, key, allowed);
  }
}
