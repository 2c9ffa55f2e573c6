package org.pocketfleet.data;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Arrays;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.TestData;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.Manifest;

public class ImageFolderTest {
  @Rule public final TemporaryFolder temporary = new TemporaryFolder();
  private Manifest manifest;

  /** Takes a file's bytes for its pixels. */
  private static final ImageDecoder RAW =
      (image, height, width, channels) -> {
        try {
          return Files.readAllBytes(image.toPath());
        } catch (IOException error) {
          throw new DataException(image + ": " + error.getMessage(), error);
        }
      };

  @Before
  public void readManifest() throws Exception {
    manifest = Bundle.load(TestData.file("whole"), null).manifest();
  }

  @Test
  public void imagesAreTakenByClassAndName() throws Exception {
    image("3", "b.png", 2);
    image("3", "a.JPG", 1);
    image("10", "notes.txt", 9);
    image("0", "c.webp", 3);
    Dataset data = new ImageFolder(temporary.getRoot(), RAW).load(manifest);
    assertEquals(3, data.size());
    assertEquals(0, data.label(0));
    assertEquals(3, data.label(1));
    assertEquals(3, data.label(2));
    assertEquals(3, data.x().data().get(0));
    assertEquals(1, data.x().data().get(64));
    assertEquals(2, data.x().data().get(128));
  }

  @Test
  public void whatDoesNotFitIsSaid() throws Exception {
    assertTrue(load().contains("no images in <class>/<image>"));
    image("cats", "a.png", 1);
    assertTrue(load().contains("'cats' is not one of the bundle's classes (0, 1, 2"));
  }

  private String load() {
    return assertThrows(
            DataException.class, () -> new ImageFolder(temporary.getRoot(), RAW).load(manifest))
        .getMessage();
  }

  private void image(String label, String name, int value) throws Exception {
    File folder = new File(temporary.getRoot(), label);
    assertTrue(folder.isDirectory() || folder.mkdir());
    byte[] pixels = new byte[64];
    Arrays.fill(pixels, (byte) value);
    Files.write(new File(folder, name).toPath(), pixels);
  }
}
