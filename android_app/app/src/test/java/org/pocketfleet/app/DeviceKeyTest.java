package org.pocketfleet.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.Security;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import org.junit.After;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.transport.NodeKey;
import org.pocketfleet.transport.NodeKeys;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
public class DeviceKeyTest {
  @Rule public final Phone phone = new Phone();

  @After
  public void removeKeystore() {
    Security.removeProvider(FakeKeystore.NAME);
  }

  private static void works(NodeKey key) throws Exception {
    String pem =
        new String(key.publicPem(), StandardCharsets.US_ASCII).replaceAll("-----[A-Z ]+-----", "");
    byte[] der = Base64.getMimeDecoder().decode(pem);
    Signature signature = Signature.getInstance("SHA256withECDSA");
    signature.initVerify(KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(der)));
    signature.update(new byte[] {1, 2});
    assertTrue(signature.verify(key.sign(new byte[] {1, 2})));
    assertTrue(NodeKeys.ssh(key).startsWith("ecdsa-sha2-nistp384 "));
  }

  @Test
  public void keyIsInTheKeystoreAndStaysTheSame() throws Exception {
    FakeKeystore.install();
    DeviceKey first = DeviceKey.open(phone.app);
    works(first.key());
    assertFalse(first.place(), first.place().contains("file"));
    assertFalse(new File(Places.state(phone.app), "key.pem").exists());
    assertArrayEquals(first.key().publicPem(), DeviceKey.open(phone.app).key().publicPem());
  }

  @Test
  public void withoutKeystoreTheKeyIsInFileAndThePersonIsTold() throws Exception {
    // Robolectric has no keystore: what a broken phone is like.
    DeviceKey first = DeviceKey.open(phone.app);
    works(first.key());
    assertTrue(first.place(), first.place().startsWith("In a file of this app, as Android's"));
    File file = new File(Places.state(phone.app), "key.pem");
    assertTrue(file.getPath(), file.getPath().contains("no_backup"));
    // A keystore that works later on must not give the phone another name.
    FakeKeystore.install();
    assertArrayEquals(first.key().publicPem(), DeviceKey.open(phone.app).key().publicPem());
  }

  @Test
  public void keystoreThatFailsForOnceCostsNoName() throws Exception {
    FakeKeystore.install();
    works(DeviceKey.open(phone.app).key());
    Security.removeProvider(FakeKeystore.NAME);
    PocketfleetException error =
        assertThrows(PocketfleetException.class, () -> DeviceKey.open(phone.app));
    assertTrue(error.getMessage(), error.getMessage().contains("restart the phone"));
    assertFalse(new File(Places.state(phone.app), "key.pem").exists());
  }
}
