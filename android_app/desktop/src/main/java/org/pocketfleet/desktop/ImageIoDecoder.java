package org.pocketfleet.desktop;

import java.awt.image.BufferedImage;
import java.awt.image.Raster;
import java.io.File;
import java.io.IOException;
import javax.imageio.ImageIO;
import org.pocketfleet.data.DataException;
import org.pocketfleet.data.ImageDecoder;

/** Decodes images with what the Java runtime has; grey is what Pillow makes of a colour. */
final class ImageIoDecoder implements ImageDecoder {
  private static final int RED = 19595;
  private static final int GREEN = 38470;
  private static final int BLUE = 7471;
  private static final int HALF = 0x8000;

  @Override
  public byte[] decode(File image, int height, int width, int channels) throws DataException {
    BufferedImage decoded;
    try {
      decoded = ImageIO.read(image);
    } catch (IOException | IllegalArgumentException error) {
      throw new DataException(image + ": not a readable image: " + error.getMessage(), error);
    }
    if (decoded == null) {
      throw new DataException(image + ": not a readable image");
    }
    if (decoded.getWidth() != width || decoded.getHeight() != height) {
      throw new DataException(
          String.format(
              "%s: %dx%d pixels, the model wants %dx%d",
              image, decoded.getWidth(), decoded.getHeight(), width, height));
    }
    byte[] pixels = new byte[height * width * channels];
    Raster raster = decoded.getRaster();
    // Java takes grey for linear light when it is asked for colours, and so would change it.
    boolean grey = decoded.getType() == BufferedImage.TYPE_BYTE_GRAY;
    int at = 0;
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int sample = grey ? raster.getSample(x, y, 0) * 0x010101 : decoded.getRGB(x, y);
        int red = (sample >> 16) & 0xff;
        int green = (sample >> 8) & 0xff;
        int blue = sample & 0xff;
        if (channels == 1) {
          int light = (red * RED + green * GREEN + blue * BLUE + HALF) >> 16;
          pixels[at++] = (byte) (grey ? red : light);
        } else {
          pixels[at++] = (byte) red;
          pixels[at++] = (byte) green;
          pixels[at++] = (byte) blue;
        }
      }
    }
    return pixels;
  }
}
