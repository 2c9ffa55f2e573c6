package org.pocketfleet.bundle;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.Hex;
import org.pocketfleet.TestData;

public class BundleStoreTest {
  @Rule public final TemporaryFolder temporary = new TemporaryFolder();
  private KeyPair pair;
  private String key;
  private File directory;

  @Before
  public void makeKey() throws Exception {
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp256r1"));
    pair = generator.generateKeyPair();
    key = SignatureFile.pem(pair.getPublic().getEncoded());
    directory = new File(temporary.getRoot(), "store");
  }

  @Test
  public void aBundleIsInUseOnlyWhenTold() throws Exception {
    BundleStore store = new BundleStore(directory, key);
    assertTrue(store.accepts());
    assertNull(store.current());
    Bundle added = add(store, "a");
    assertNull(store.current());
    store.use(added);
    Bundle current = new BundleStore(directory, key).current();
    assertEquals("a", current.manifest().name());
    assertEquals(added.sha256(), current.sha256());
  }

  @Test
  public void theLastTwoAreKept() throws Exception {
    BundleStore store = new BundleStore(directory, key);
    for (String name : new String[] {"a", "b", "c"}) {
      store.use(add(store, name));
    }
    assertEquals(new TreeSet<>(Arrays.asList("current", sha256("b"), sha256("c"))), names());
    assertEquals("c", store.current().manifest().name());
    store.use(add(store, "b"));
    assertEquals("b", store.current().manifest().name());
  }

  @Test
  public void whatIsWrongLeavesNothingBehind() throws Exception {
    BundleStore store = new BundleStore(directory, key);
    byte[] good = zip("a");
    byte[] altered = good.clone();
    altered[altered.length / 2] ^= 1;
    refused(store, altered, sha256("a"));
    refused(store, Arrays.copyOf(good, good.length / 2), sha256("a"));
    refused(store, new byte[0], sha256("a"));
    refused(store, good, sha256("b"));
    refused(store, TestData.bytes("head.zip").array(), sha256("a"));
    refused(store, TestData.bytes("unsigned.zip").array(), sha256("a"));
    refused(store, TestData.bytes("path-entry.zip").array(), sha256("a"));
    assertEquals(new TreeSet<>(), names());
    store.use(add(store, "a"));
    refused(store, TestData.bytes("newer.zip").array(), sha256("a"));
    assertEquals("a", store.current().manifest().name());
  }

  @Test
  public void aStoreWithoutAKeyTakesNone() throws Exception {
    BundleStore store = new BundleStore(directory, null);
    assertFalse(store.accepts());
    assertNull(store.current());
    refused(store, zip("a"), sha256("a"));
    BundleStore fixed = BundleStore.fixed(TestData.file("whole"), null);
    assertFalse(fixed.accepts());
    assertEquals("whole", fixed.current().manifest().name());
    refused(fixed, zip("a"), sha256("a"));
  }

  @Test
  public void aBundleDamagedOnTheDiskGivesWayToTheOneBefore() throws Exception {
    BundleStore store = new BundleStore(directory, key);
    store.use(add(store, "a"));
    store.use(add(store, "b"));
    File model = new File(directory, sha256("b") + "/" + Bundle.MODEL);
    byte[] bytes = Files.readAllBytes(model.toPath());
    bytes[100] ^= 1;
    Files.write(model.toPath(), bytes);
    assertEquals("a", new BundleStore(directory, key).current().manifest().name());
    assertEquals("b", use(new BundleStore(directory, key), "b").manifest().name());
  }

  @Test
  public void anotherTrustedKeyEndsTheUseOfWhatTheOldOneSigned() throws Exception {
    BundleStore store = new BundleStore(directory, key);
    store.use(add(store, "a"));
    assertNull(new BundleStore(directory, TestData.text("trusted.pem")).current());
  }

  /** Kills the change from one bundle to another before and in the middle of every step. */
  @Test
  public void killedAtAnyPointTheOldOrTheNewBundleIsThere() throws Exception {
    int kills = 0;
    boolean finished = false;
    while (!finished) {
      File place = temporary.newFolder();
      BundleStore before = new BundleStore(place, key);
      use(before, "a");
      use(before, "b");
      KilledDisk disk = new KilledDisk(kills++);
      boolean used = false;
      try {
        use(new BundleStore(place, key, disk), "c");
        used = true;
        finished = disk.left > 0;
      } catch (KilledDisk.Killed killed) {
        // As planned.
      }
      BundleStore after = new BundleStore(place, key);
      Bundle current = after.current();
      assertNotNull("killed at step " + kills, current);
      String name = current.manifest().name();
      assertTrue(name, name.equals("c") || (!used && name.equals("b")));
      current.verify(key);
      assertEquals("c", use(after, "c").manifest().name());
      assertTrue(Arrays.toString(place.list()), place.list().length <= 3);
    }
    assertTrue("only " + kills + " steps", kills > 12);
  }

  @Test
  public void aFullDiskIsSaidAndTheOldBundleStays() throws Exception {
    BundleStore store = new BundleStore(directory, key);
    use(store, "a");
    Disk full =
        new Disk() {
          @Override
          void write(File file, ByteBuffer data) throws IOException {
            ByteBuffer part = data.duplicate();
            part.limit(part.remaining() / 2);
            super.write(file, part);
            throw new IOException("No space left on device");
          }
        };
    BundleStore cramped = new BundleStore(directory, key, full);
    BundleException error = assertThrows(BundleException.class, () -> add(cramped, "b"));
    assertTrue(
        error.getMessage(), error.getMessage().contains("No space left on device (it takes"));
    assertTrue(error.getMessage(), error.getMessage().contains("the old one stays in use"));
    assertEquals(new TreeSet<>(Arrays.asList("current", sha256("a"))), names());
    assertEquals("a", store.current().manifest().name());
  }

  @Test
  public void aPlaceThatCannotBeUsedIsNamed() throws Exception {
    File file = temporary.newFile();
    BundleException error =
        assertThrows(BundleException.class, () -> new BundleStore(new File(file, "store"), key));
    assertTrue(error.getMessage(), error.getMessage().contains("cannot keep bundles here"));
  }

  /** Counts down what is done to the disk; at zero it does half of it, and nothing after that. */
  private static final class KilledDisk extends Disk {
    private int left;

    KilledDisk(int steps) {
      this.left = steps;
    }

    static final class Killed extends RuntimeException {
      private static final long serialVersionUID = 1;
    }

    private void step() {
      if (left-- <= 0) {
        throw new Killed();
      }
    }

    @Override
    void write(File file, ByteBuffer data) throws IOException {
      if (left == 0) {
        ByteBuffer part = data.duplicate();
        part.limit(part.remaining() / 2);
        super.write(file, part);
      }
      step();
      super.write(file, data);
    }

    @Override
    void rename(File from, File to) throws IOException {
      step();
      super.rename(from, to);
    }

    @Override
    void makeDirectory(File made) throws IOException {
      step();
      super.makeDirectory(made);
    }

    @Override
    void delete(File file) throws IOException {
      step();
      super.delete(file);
    }
  }

  private Bundle add(BundleStore store, String name) throws Exception {
    return store.add(ByteBuffer.wrap(zip(name)), sha256(name));
  }

  private Bundle use(BundleStore store, String name) throws Exception {
    store.use(add(store, name));
    return store.current();
  }

  private void refused(BundleStore store, byte[] zip, String sha256) {
    assertThrows(BundleException.class, () -> store.add(ByteBuffer.wrap(zip), sha256));
  }

  private Set<String> names() {
    return new TreeSet<>(Arrays.asList(directory.list()));
  }

  private static byte[] manifest(String name) throws Exception {
    String text = TestData.text("whole/manifest.json");
    return text.replace("\"name\": \"whole\"", "\"name\": \"" + name + "\"")
        .getBytes(StandardCharsets.UTF_8);
  }

  private static String sha256(String name) throws Exception {
    return Hex.sha256(ByteBuffer.wrap(manifest(name)));
  }

  private byte[] zip(String name) throws Exception {
    byte[] manifest = manifest(name);
    Signature signer = Signature.getInstance("SHA256withECDSA");
    signer.initSign(pair.getPrivate());
    signer.update(manifest);
    String signature =
        String.format(
            "{\"algorithm\": \"ECDSA-P256-SHA256\", \"public_key\": \"%s\", \"signature\": \"%s\"}",
            key.replace("\n", "\\n"), Base64.getEncoder().encodeToString(signer.sign()));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      put(zip, Bundle.MANIFEST, manifest);
      put(zip, Bundle.SIGNATURE, signature.getBytes(StandardCharsets.UTF_8));
      for (Map.Entry<String, FileEntry> file :
          Bundle.load(TestData.file("whole"), null).manifest().files().entrySet()) {
        put(zip, file.getKey(), TestData.bytes("whole/" + file.getKey()).array());
      }
    }
    return bytes.toByteArray();
  }

  private static void put(ZipOutputStream zip, String name, byte[] data) throws IOException {
    zip.putNextEntry(new ZipEntry(name));
    zip.write(data);
  }
}
