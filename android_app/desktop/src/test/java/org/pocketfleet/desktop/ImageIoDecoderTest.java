package org.pocketfleet.desktop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.awt.image.BufferedImage;
import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import javax.imageio.ImageIO;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.data.DataException;

public class ImageIoDecoderTest {
  @Rule public final TemporaryFolder temporary = new TemporaryFolder();
  private final ImageIoDecoder decoder = new ImageIoDecoder();

  private File png(int type) throws Exception {
    BufferedImage image = new BufferedImage(2, 1, type);
    if (type == BufferedImage.TYPE_BYTE_GRAY) {
      image.getRaster().setSample(0, 0, 0, 100);
      image.getRaster().setSample(1, 0, 0, 255);
    } else {
      image.setRGB(0, 0, 0xff102030);
      image.setRGB(1, 0, 0xff0000ff);
    }
    File file = temporary.newFile();
    assertTrue(ImageIO.write(image, "png", file));
    return file;
  }

  @Test
  public void coloursAreRedGreenBlue() throws Exception {
    byte[] expected = {0x10, 0x20, 0x30, 0, 0, (byte) 0xff};
    assertArrayEquals(expected, decoder.decode(png(BufferedImage.TYPE_INT_RGB), 1, 2, 3));
    assertArrayEquals(expected, decoder.decode(png(BufferedImage.TYPE_INT_ARGB), 1, 2, 3));
  }

  @Test
  public void coloursBecomeGreyAsPillowDoesIt() throws Exception {
    // (16 * 19595 + 32 * 38470 + 48 * 7471 + 32768) >> 16, and 255 * 7471 likewise.
    byte[] expected = {29, 29};
    assertArrayEquals(expected, decoder.decode(png(BufferedImage.TYPE_INT_RGB), 1, 2, 1));
  }

  @Test
  public void greyStaysAsItIs() throws Exception {
    File file = png(BufferedImage.TYPE_BYTE_GRAY);
    assertArrayEquals(new byte[] {100, (byte) 255}, decoder.decode(file, 1, 2, 1));
    byte[] colours = {100, 100, 100, (byte) 255, (byte) 255, (byte) 255};
    assertArrayEquals(colours, decoder.decode(file, 1, 2, 3));
  }

  @Test
  public void whatDoesNotFitIsSaid() throws Exception {
    File file = png(BufferedImage.TYPE_INT_RGB);
    says(file, file + ": 2x1 pixels, the network takes 8x8");
    Files.write(file.toPath(), new byte[] {1, 2, 3});
    says(file, "this program reads PNG, JPEG and BMP");
    byte[] whole = Files.readAllBytes(png(BufferedImage.TYPE_INT_RGB).toPath());
    Files.write(file.toPath(), Arrays.copyOf(whole, 40));
    assertThrows(DataException.class, () -> decoder.decode(file, 1, 2, 3));
    says(new File("nowhere.png"), "not a readable image");
  }

  private void says(File file, String words) {
    DataException error = assertThrows(DataException.class, () -> decoder.decode(file, 8, 8, 3));
    assertTrue(error.getMessage(), error.getMessage().contains(words));
  }
}
