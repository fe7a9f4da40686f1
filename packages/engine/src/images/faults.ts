/** The named steps inside a pull at which a crash is survivable: tests kill the engine at each of them. */
export const IMAGE_FAULT_STEPS = [
  'image.manifest',
  'image.config',
  'image.downloaded',
  'image.layer',
  'image.stored',
] as const;

export type ImageFault = (step: (typeof IMAGE_FAULT_STEPS)[number]) => void;
