/** Names of profile files: with a folder or an ending. */
export const PROFILE_PATH: RegExp = /[/\\]|\.(ya?ml|json)$/;

/** Whether a machine is named by the path of a profile file, and not by an id. */
export function isProfilePath(idOrPath: string): boolean {
  return PROFILE_PATH.test(idOrPath);
}
