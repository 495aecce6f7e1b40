import type { LoadedImage } from "./elf-image.js";
import { domainMemoryMap } from "./fixed-layout.js";
import {
  type BootModule,
  type BootOptions,
  type BootTarget,
  checkFits,
  encodeCmdline,
  type GuestStart,
  pageUp,
  placeModules,
  writeModules,
  writeSegments,
} from "./guest-start.js";
import type { MemoryMapEntry } from "./memory-map.js";

// struct hvm_start_info (public/arch-x86/hvm/start_info.h)
const START_INFO_MAGIC = 0x336ec578;
const START_INFO_VERSION = 1;
const START_INFO_BYTES = 56;
const MEMMAP_ENTRY_BYTES = 24;
const MODLIST_ENTRY_BYTES = 32;
const SIF_PRIVILEGED = 1;
const SIF_INITDOMAIN = 2;

/**
 * Puts a PVH image into a fresh domain: its segments, then on the next page hvm_start_info (ebx), the command line, the
 * memory map and the module list, then the modules, each on a page of its own.
 * @throws ImageError `does-not-fit` when RAM below 4 GiB does not hold all of it
 */
export function buildPvhDomain(
  domain: BootTarget,
  image: LoadedImage,
  options: BootOptions = {},
): GuestStart {
  const { modules = [] } = options;
  const map = domainMemoryMap(domain.config);
  const ram = map[0].size;
  checkFits("end of the image", image.end, ram);
  const at = pageUp(image.end);
  const texts = [options.cmdline ?? "", ...modules.map((module) => module.cmdline ?? "")].map(encodeCmdline);
  const mapAt = Math.ceil((START_INFO_BYTES + texts[0].length + 1) / 8) * 8;
  const listAt = mapAt + map.length * MEMMAP_ENTRY_BYTES;
  const textsAt = listAt + modules.length * MODLIST_ENTRY_BYTES;
  const moduleTexts = texts.slice(1).reduce((sum, text) => sum + text.length + 1, 0);
  const bytes = new Uint8Array(textsAt + moduleTexts);
  checkFits("end of start_info", at + bytes.length, ram);
  const places = placeModules(modules, at + bytes.length);
  if (modules.length > 0) checkFits("end of the modules", places[modules.length], ram);

  const view = new DataView(bytes.buffer);
  view.setUint32(0, START_INFO_MAGIC, true);
  view.setUint32(4, START_INFO_VERSION, true);
  view.setUint32(8, domain.config.hardwareDomain ? SIF_PRIVILEGED | SIF_INITDOMAIN : 0, true);
  view.setUint32(12, modules.length, true);
  setU64(view, 16, modules.length > 0 ? at + listAt : 0);
  setU64(view, 24, at + START_INFO_BYTES);
  setU64(view, 40, at + mapAt);
  view.setUint32(48, map.length, true);
  bytes.set(texts[0], START_INFO_BYTES);
  writeMap(view, mapAt, map);
  writeModuleList(view, listAt, modules, places, { at: textsAt, base: at, texts: texts.slice(1) });
  writeSegments(domain, image);
  domain.guestMemory.writeBytes(at, bytes);
  writeModules(domain, modules, places);
  return { entry: image.entry, eax: 0, ebx: at };
}

function writeMap(view: DataView, at: number, map: readonly MemoryMapEntry[]): void {
  map.forEach((entry, i) => {
    setU64(view, at + i * MEMMAP_ENTRY_BYTES, entry.address);
    setU64(view, at + i * MEMMAP_ENTRY_BYTES + 8, entry.size);
    view.setUint32(at + i * MEMMAP_ENTRY_BYTES + 16, entry.type, true);
  });
}

/** hvm_modlist_entry: {paddr, size, cmdline_paddr, reserved}, with the texts where `strings` says. */
function writeModuleList(
  view: DataView,
  at: number,
  modules: readonly BootModule[],
  places: readonly number[],
  strings: { readonly at: number; readonly base: number; readonly texts: readonly Uint8Array[] },
): void {
  let textAt = strings.at;
  modules.forEach((module, i) => {
    const text = strings.texts[i];
    setU64(view, at + i * MODLIST_ENTRY_BYTES, places[i]);
    setU64(view, at + i * MODLIST_ENTRY_BYTES + 8, module.bytes.length);
    setU64(view, at + i * MODLIST_ENTRY_BYTES + 16, text.length > 0 ? strings.base + textAt : 0);
    new Uint8Array(view.buffer).set(text, textAt);
    textAt += text.length + 1;
  });
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
