package org.pocketfleet.data;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.TestData;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.Manifest;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Npy;

public class NpzDataTest {
  @Rule public final TemporaryFolder temporary = new TemporaryFolder();
  private Manifest manifest;

  @Before
  public void readManifest() throws Exception {
    manifest = Bundle.load(TestData.file("whole"), null).manifest();
  }

  @Test
  public void storedAndDeflatedFilesHoldTheSame() throws Exception {
    Dataset stored = new NpzData(TestData.file("digits.npz")).load(manifest);
    Dataset deflated = new NpzData(TestData.file("digits_deflated.npz")).load(manifest);
    assertEquals(77, stored.size());
    assertEquals(10, stored.classesHeld());
    assertEquals(stored.x().data(), deflated.x().data());
    for (int row = 0; row < stored.size(); row++) {
      assertEquals(stored.label(row), deflated.label(row));
    }
  }

  @Test
  public void doublesAndBigEndianLabelsAreConverted() throws Exception {
    Dataset pixels = new NpzData(TestData.file("digits.npz")).load(manifest);
    Dataset doubles = new NpzData(TestData.file("digits_float64.npz")).load(manifest);
    assertEquals(DType.FLOAT32, doubles.x().type());
    for (int at = 0; at < 77 * 64; at++) {
      float expected = (float) ((pixels.x().data().get(at) & 0xff) / 255.0);
      assertEquals(expected, doubles.x().data().getFloat(4 * at), 0);
    }
    assertEquals(pixels.label(5), doubles.label(5));
  }

  @Test
  public void whatDoesNotFitIsSaidWithTheFilesName() {
    says("digits_label.npz", "label 10 of sample 7 is outside 0..9 (1 such samples)");
    says("digits_nan.npz", "x holds values that are not finite");
    says("digits_shape.npz", "samples are [7, 8, 1], the network takes [8, 8, 1]");
    says("digits_empty.npz", "holds no samples");
    says("digits_short.npz", "77 samples in x, 76 labels in y");
    says("digits_no_y.npz", "holds no array 'y'");
    says("digits_float_y.npz", "y must be whole numbers [n], it is float64 [77]");
    says("digits_int_x.npz", "x must be uint8 pixels or floating point");
    says("whole.safetensors", "holds no array 'x'");
  }

  @Test
  public void whatIsMissingOrBrokenIsSaid() throws Exception {
    File nowhere = new File(temporary.getRoot(), "nowhere.npz");
    assertTrue(load(nowhere).contains("no such data file"));
    byte[] whole = TestData.bytes("digits_deflated.npz").array();
    File part = temporary.newFile("part.npz");
    Files.write(part.toPath(), Arrays.copyOf(whole, 600));
    assertTrue(load(part).contains("not a readable .npz file"));
  }

  @Test
  public void aHeaderThatPromisesMoreThanTheFileHoldsTakesNoMemory() throws Exception {
    File file = temporary.newFile("promise.npz");
    try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(file.toPath()))) {
      zip.putNextEntry(new ZipEntry("x.npy"));
      zip.write(Npy.header(DType.UINT8, new int[] {30_000_000, 8, 8, 1}));
    }
    assertTrue(load(file).contains("which this file cannot hold"));
    try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(file.toPath()))) {
      zip.putNextEntry(new ZipEntry("x.npy"));
      zip.write(Npy.header(DType.UINT8, new int[] {10, 8, 8, 1}));
    }
    assertTrue(load(file).contains("ends too early"));
  }

  private void says(String name, String words) {
    String message = load(TestData.file(name));
    assertTrue(message, message.contains(words) && message.contains(name));
  }

  private String load(File file) {
    return assertThrows(DataException.class, () -> new NpzData(file).load(manifest)).getMessage();
  }
}
