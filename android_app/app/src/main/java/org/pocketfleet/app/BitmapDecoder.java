package org.pocketfleet.app;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import java.io.File;
import java.util.Locale;
import org.pocketfleet.data.DataException;
import org.pocketfleet.data.ImageDecoder;

/** Decodes pictures with Android's own decoder. */
final class BitmapDecoder implements ImageDecoder {
  @Override
  public byte[] decode(File image, int height, int width, int channels) throws DataException {
    BitmapFactory.Options options = new BitmapFactory.Options();
    // The size first: a huge picture must not be decoded only to be refused.
    options.inJustDecodeBounds = true;
    BitmapFactory.decodeFile(image.getPath(), options);
    if (options.outWidth < 0) {
      throw new DataException(image + ": not a readable image");
    }
    if (options.outWidth != width || options.outHeight != height) {
      throw new DataException(
          String.format(
              Locale.ROOT,
              "%s: %dx%d pixels, the network takes %dx%d",
              image,
              options.outWidth,
              options.outHeight,
              width,
              height));
    }
    options.inJustDecodeBounds = false;
    options.inScaled = false;
    options.inPreferredConfig = Bitmap.Config.ARGB_8888;
    // Colours as they are in the file, as the other clients take them.
    options.inPremultiplied = false;
    Bitmap bitmap = BitmapFactory.decodeFile(image.getPath(), options);
    if (bitmap == null) {
      throw new DataException(image + ": not a readable image");
    }
    int[] argb = new int[width * height];
    bitmap.getPixels(argb, 0, width, 0, 0, width, height);
    bitmap.recycle();
    return channels == 3 ? colours(argb) : luma(argb);
  }

  private static byte[] colours(int[] argb) {
    byte[] out = new byte[argb.length * 3];
    for (int i = 0; i < argb.length; i++) {
      out[3 * i] = (byte) (argb[i] >> 16);
      out[3 * i + 1] = (byte) (argb[i] >> 8);
      out[3 * i + 2] = (byte) argb[i];
    }
    return out;
  }

  /** ITU-R 601-2 in 16-bit fixed point, rounded: as Pillow converts to "L". */
  private static byte[] luma(int[] argb) {
    byte[] out = new byte[argb.length];
    for (int i = 0; i < argb.length; i++) {
      int red = argb[i] >> 16 & 0xff;
      int green = argb[i] >> 8 & 0xff;
      int blue = argb[i] & 0xff;
      out[i] = (byte) ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
    }
    return out;
  }
}
