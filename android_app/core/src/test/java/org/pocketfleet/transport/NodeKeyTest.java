package org.pocketfleet.transport;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.Pem;
import org.pocketfleet.state.StateException;

public class NodeKeyTest {
  /** Made by the Python client for this test alone. */
  private static final String FROM_PYTHON =
      "-----BEGIN PRIVATE KEY-----\n"
          + "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAHVREDtQ/SzcZBYwXo\n"
          + "fMPS0HoyrDbw27g+tK7FH4Sb7APOnXlrOeMtd9xLal0tQImhZANiAAR6JPWHf4DE\n"
          + "r+rvTCaPwtc+bFM4LMa5LYO7xwevD9kGT9llW6zqtW7LE6tqtdcWX/lW/ofOOi5x\n"
          + "7GYWbVcn4qG+URq1q9pjjRqbHWE+XP/uJdrn3zgzlPM+t9XaGGxT4cw=\n"
          + "-----END PRIVATE KEY-----\n";

  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  @Test
  public void pythonsKeyIsReadAndNamedAlike() throws Exception {
    NodeKey key = FileNodeKey.loadOrCreate(file(FROM_PYTHON, "rw-------"));
    assertEquals("sha256:a30697952f1e3c1d", NodeKeys.fingerprint(key));
    assertEquals(
        "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBHok9Yd/gMSv6u9M"
            + "Jo/C1z5sUzgsxrktg7vHB68P2QZP2WVbrOq1bssTq2q11xZf+Vb+h846LnHsZhZtVyfiob5RGrWr2mONGpsd"
            + "YT5c/+4l2uffODOU8z631doYbFPhzA==",
        NodeKeys.ssh(key));
  }

  @Test
  public void aNewKeyIsKeptPrivateAndFoundAgain() throws Exception {
    File file = new File(folder.getRoot(), "key.pem");
    NodeKey key = FileNodeKey.loadOrCreate(file);
    assertEquals(
        "rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file.toPath())));
    assertArrayEquals(key.publicPem(), FileNodeKey.loadOrCreate(file).publicPem());
    assertArrayEquals(new String[] {"key.pem"}, folder.getRoot().list());
  }

  @Test
  public void signaturesHold() throws Exception {
    NodeKey key = FileNodeKey.loadOrCreate(new File(folder.getRoot(), "key.pem"));
    byte[] text = "2026-01-01T00:00:00+00:00".getBytes(StandardCharsets.US_ASCII);
    byte[] der = Pem.decode("PUBLIC KEY", key.publicPem());
    Signature signature = Signature.getInstance("SHA256withECDSA");
    signature.initVerify(KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(der)));
    signature.update(text);
    assertTrue(signature.verify(key.sign(text)));
  }

  @Test
  public void keysThatCannotBeUsedAreNamed() throws Exception {
    String[][] cases = {
      {FROM_PYTHON, "rw-r--r--", "chmod 600"},
      {"nothing", "rw-------", "not a private key in PEM form"},
      {"", "rw-------", "not a private key in PEM form"},
      {FROM_PYTHON.replace("BAAiBIGe", "BAAjBIGe"), "rw-------", "P-384"},
      {FROM_PYTHON.replace("fMPS0Hoy", "fMPS0Hoz"), "rw-------", "damaged key"},
      {FROM_PYTHON.replace("MIG2AgEA", "****"), "rw-------", "P-384"},
    };
    for (String[] each : cases) {
      File file = file(each[0], each[1]);
      StateException error =
          assertThrows(StateException.class, () -> FileNodeKey.loadOrCreate(file));
      assertTrue(error.getMessage(), error.getMessage().contains(each[2]));
      assertTrue(error.getMessage(), error.getMessage().startsWith(file.toString()));
    }
  }

  private File file(String pem, String mode) throws Exception {
    File file = folder.newFile();
    Files.write(file.toPath(), pem.getBytes(StandardCharsets.US_ASCII));
    Files.setPosixFilePermissions(file.toPath(), PosixFilePermissions.fromString(mode));
    return file;
  }
}
