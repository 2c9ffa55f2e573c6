package org.pocketfleet.data;

import java.io.File;

/** Turns image files into pixels, with what the platform has for that. */
public interface ImageDecoder {
  /**
   * Decodes an image.
   *
   * @param channels 1 for grey, 3 for red, green, blue
   * @return {@code height * width * channels} bytes, row by row, the channels of a pixel together
   * @throws DataException the file is unreadable, no image, or of another size; the message names
   *     it
   */
  byte[] decode(File image, int height, int width, int channels) throws DataException;
}
