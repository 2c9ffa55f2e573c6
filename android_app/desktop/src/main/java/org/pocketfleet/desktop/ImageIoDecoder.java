package org.pocketfleet.desktop;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.File;
import java.io.IOException;
import java.util.Iterator;
import java.util.Locale;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;
import org.pocketfleet.data.DataException;
import org.pocketfleet.data.ImageDecoder;

/** Decodes images with what every desktop Java has: PNG, JPEG, BMP. */
final class ImageIoDecoder implements ImageDecoder {
  private static final int GREY = 1;

  // Weights of red, green and blue in grey (ITU-R BT.601), in 65,536ths, as Pillow rounds them.
  private static final int RED_WEIGHT = 19595;
  private static final int GREEN_WEIGHT = 38470;
  private static final int BLUE_WEIGHT = 7471;
  private static final int HALF = 1 << 15;

  @Override
  public byte[] decode(File image, int height, int width, int channels) throws DataException {
    BufferedImage decoded;
    try (ImageInputStream in = ImageIO.createImageInputStream(image)) {
      if (in == null) {
        throw new IOException("it cannot be opened");
      }
      Iterator<ImageReader> readers = ImageIO.getImageReaders(in);
      if (!readers.hasNext()) {
        throw new DataException(
            image + ": not a readable image: this program reads PNG, JPEG and BMP");
      }
      ImageReader reader = readers.next();
      try {
        reader.setInput(in, true, true);
        // The size is asked for first: a small file may unpack to a huge image.
        checkSize(image, reader.getHeight(0), reader.getWidth(0), height, width);
        decoded = reader.read(0);
      } finally {
        reader.dispose();
      }
    } catch (IOException | IllegalArgumentException | IndexOutOfBoundsException error) {
      throw new DataException(image + ": not a readable image: " + error.getMessage(), error);
    }
    byte[] pixels = new byte[height * width * channels];
    if (isGrey(decoded)) {
      copyGrey(decoded.getRaster(), channels, pixels);
    } else {
      copyColours(decoded, channels, pixels);
    }
    return pixels;
  }

  private static void checkSize(File image, int height, int width, int wantHeight, int wantWidth)
      throws DataException {
    if (height != wantHeight || width != wantWidth) {
      throw new DataException(
          String.format(
              Locale.ROOT,
              "%s: %dx%d pixels, the network takes %dx%d",
              image,
              width,
              height,
              wantWidth,
              wantHeight));
    }
  }

  private static boolean isGrey(BufferedImage image) {
    ColorModel model = image.getColorModel();
    return model.getColorSpace().getType() == ColorSpace.TYPE_GRAY
        && !(model instanceof IndexColorModel);
  }

  /** Takes grey values as they are: Java would take them for linear light, and brighten them. */
  private static void copyGrey(Raster raster, int channels, byte[] pixels) {
    int shift = raster.getSampleModel().getSampleSize(0) - Byte.SIZE;
    int at = 0;
    for (int y = 0; y < raster.getHeight(); y++) {
      for (int x = 0; x < raster.getWidth(); x++) {
        byte value = (byte) (raster.getSample(x, y, 0) >> Math.max(0, shift));
        for (int channel = 0; channel < channels; channel++) {
          pixels[at++] = value;
        }
      }
    }
  }

  private static void copyColours(BufferedImage image, int channels, byte[] pixels) {
    int at = 0;
    for (int y = 0; y < image.getHeight(); y++) {
      for (int x = 0; x < image.getWidth(); x++) {
        int colour = image.getRGB(x, y);
        int red = (colour >> 16) & 0xff;
        int green = (colour >> 8) & 0xff;
        int blue = colour & 0xff;
        if (channels == GREY) {
          int sum = RED_WEIGHT * red + GREEN_WEIGHT * green + BLUE_WEIGHT * blue + HALF;
          pixels[at++] = (byte) (sum >> 16);
        } else {
          pixels[at++] = (byte) red;
          pixels[at++] = (byte) green;
          pixels[at++] = (byte) blue;
        }
      }
    }
  }
}
