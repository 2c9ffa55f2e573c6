package org.pocketfleet.bundle;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.MappedByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.TestData;
import org.pocketfleet.tensor.Tensor;

public class BundleTest {
  @Rule public final TemporaryFolder temporary = new TemporaryFolder();

  @Test
  public void directoryAndZipAreTheSameBundle() throws Exception {
    String key = TestData.text("trusted.pem");
    Bundle directory = Bundle.load(TestData.file("head"), key);
    Bundle zip = Bundle.load(TestData.file("head.zip"), key);
    directory.verify(key);
    zip.verify(key);
    assertEquals(directory.sha256(), zip.sha256());
    assertEquals(key, zip.signer());
    assertEquals(directory.read(Bundle.MODEL), zip.read(Bundle.MODEL));
    assertTrue(directory.read(Bundle.MODEL) instanceof MappedByteBuffer);
    assertTrue(zip.read(Bundle.MODEL).isDirect());
  }

  @Test
  public void theManifestSaysWhatPythonWrote() throws Exception {
    Manifest manifest = Bundle.load(TestData.file("whole"), null).manifest();
    assertEquals("whole", manifest.name());
    assertEquals("all", manifest.trainable());
    assertEquals(16, manifest.batchSize());
    assertEquals(10, manifest.classes().size());
    assertArrayEquals(new int[] {8, 8, 1}, manifest.input().shape());
    assertEquals(1 / 255.0, manifest.input().scale(), 1e-12);
    assertEquals("[conv-2]", manifest.cuts().toString());
    assertTrue(manifest.signatures().containsKey("train_from_conv_2"));
    assertArrayEquals(
        new int[] {16, 8, 8, 1}, manifest.signatures().get("train").inputs().get("x").shape());
    assertEquals("conv1/kernel", manifest.variables().keySet().iterator().next());
    Map<String, Tensor> initial = Bundle.load(TestData.file("whole"), null).initial();
    assertEquals(manifest.variables().keySet(), initial.keySet());
  }

  @Test
  public void anUnsignedBundleIsUsedOnlyWithoutATrustedKey() throws Exception {
    File unsigned = TestData.file("unsigned.zip");
    Bundle.load(unsigned, null).verify(null);
    assertNull(Bundle.load(unsigned, null).signer());
    says("not signed", BundleSignatureException.class, unsigned, TestData.text("trusted.pem"));
  }

  @Test
  public void anotherSignersBundleIsRefused() throws Exception {
    File bundle = TestData.file("head.zip");
    says("not by the trusted SHA256:", BundleSignatureException.class, bundle, other());
    says("the trusted key cannot be used", BundleSignatureException.class, bundle, "a key");
  }

  @Test
  public void whatWasAlteredIsNamed() throws Exception {
    String key = TestData.text("trusted.pem");
    altered("altered-model.zip", key, "model.tflite was altered");
    altered("altered-manifest.zip", key, "manifest.sig does not fit manifest.json");
    altered("altered-signature.zip", key, "manifest.sig does not fit manifest.json");
    altered("altered-signature.zip", null, "manifest.sig does not fit manifest.json");
    altered("unlisted-entry.zip", key, "holds more.tflite, which the manifest does not list");
    altered("large-entry.zip", key, "more than the");
  }

  @Test
  public void hostileZipsAreRefusedBeforeAnythingIsRead() {
    says("'../escaped.txt', which is not a plain file", "path-entry.zip");
    says("holds model.tflite twice", "twice-entry.zip");
  }

  @Test
  public void aTruncatedOrForeignFileIsNoBundle() throws Exception {
    byte[] whole = TestData.bytes("head.zip").array();
    File part = temporary.newFile("part.zip");
    Files.write(part.toPath(), Arrays.copyOf(whole, whole.length / 2));
    says("not a whole zip", BundleFormatException.class, part, null);
    Files.write(part.toPath(), "hello".getBytes(StandardCharsets.UTF_8));
    says("manifest.json is missing", BundleFormatException.class, part, null);
    File nowhere = new File(temporary.getRoot(), "nowhere");
    says("no such bundle", BundleFormatException.class, nowhere, null);
    says("manifest.json is missing", BundleFormatException.class, temporary.getRoot(), null);
  }

  @Test
  public void aZipThatUnpacksWithoutEndIsRefusedEarly() throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      zip.setLevel(1);
      zip.putNextEntry(new ZipEntry("manifest.json"));
      byte[] zeros = new byte[1 << 20];
      for (int block = 0; block <= 33; block++) {
        zip.write(zeros);
      }
    }
    File bomb = temporary.newFile("bomb.zip");
    Files.write(bomb.toPath(), bytes.toByteArray());
    says("more than the 33554432 expected", BundleFormatException.class, bomb, null);
  }

  @Test
  public void aNewerFormatSaysToUpdate() throws Exception {
    says(
        "update this app",
        NewerBundleException.class,
        TestData.file("newer.zip"),
        TestData.text("trusted.pem"));
  }

  @Test
  public void aPipeInPlaceOfAFileDoesNotHang() throws Exception {
    File folder = temporary.newFolder("pipe");
    Process process = new ProcessBuilder("mkfifo", folder + "/manifest.json").start();
    assertEquals(0, process.waitFor());
    says("manifest.json is not a regular file", BundleFormatException.class, folder, null);
  }

  private static String other() throws IOException {
    return TestData.text("other.pem");
  }

  private static void altered(String name, String key, String words) {
    BundleException error =
        assertThrows(
            BundleAlteredException.class, () -> Bundle.load(TestData.file(name), key).verify(key));
    assertTrue(error.getMessage(), error.getMessage().contains(words));
    assertTrue(error.getMessage(), error.getMessage().contains(name));
  }

  private static void says(String words, String name) {
    says(words, BundleFormatException.class, TestData.file(name), null);
  }

  private static void says(
      String words, Class<? extends BundleException> kind, File path, String key) {
    BundleException error = assertThrows(kind, () -> Bundle.load(path, key));
    assertTrue(error.getMessage(), error.getMessage().contains(words));
  }
}
