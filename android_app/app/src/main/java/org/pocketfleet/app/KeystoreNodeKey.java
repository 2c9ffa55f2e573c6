package org.pocketfleet.app;

import android.os.Build;
import android.security.keystore.KeyGenParameterSpec;
import android.security.keystore.KeyInfo;
import android.security.keystore.KeyProperties;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.ProviderException;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.Base64;
import org.pocketfleet.transport.NodeKey;

/** A key pair in Android's keystore, from which the private half cannot be read. */
final class KeystoreNodeKey implements NodeKey {
  private static final String STORE = "AndroidKeyStore";
  private static final String ALIAS = "node";
  private static final String CURVE = "secp384r1";
  private static final String ALGORITHM = "SHA256withECDSA";

  private final PrivateKey privateKey;
  private final byte[] publicPem;

  private KeystoreNodeKey(PrivateKey privateKey, PublicKey publicKey) {
    this.privateKey = privateKey;
    String base64 =
        Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(publicKey.getEncoded());
    this.publicPem =
        ("-----BEGIN PUBLIC KEY-----\n" + base64 + "\n-----END PUBLIC KEY-----\n")
            .getBytes(StandardCharsets.US_ASCII);
  }

  /**
   * Opens the phone's key; makes it first if there is none.
   *
   * @throws GeneralSecurityException the keystore is not there or cannot do this
   */
  static KeystoreNodeKey loadOrCreate() throws GeneralSecurityException {
    try {
      KeyStore store = KeyStore.getInstance(STORE);
      store.load(null);
      if (!store.containsAlias(ALIAS)) {
        create();
      }
      PrivateKey key = (PrivateKey) store.getKey(ALIAS, null);
      if (key == null || store.getCertificate(ALIAS) == null) {
        throw new GeneralSecurityException("the key in the keystore cannot be used any more");
      }
      KeystoreNodeKey made = new KeystoreNodeKey(key, store.getCertificate(ALIAS).getPublicKey());
      // Some keystores make keys that they then cannot use; that has to come to light here.
      byte[] unused = made.sign(new byte[1]);
      return made;
    } catch (IOException | ProviderException error) {
      // ProviderException is what broken vendors' keystores throw.
      throw new GeneralSecurityException(error);
    }
  }

  private static void create() throws GeneralSecurityException {
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
      try {
        generate(strongBox(spec()).build());
        return;
      } catch (GeneralSecurityException | ProviderException noStrongBox) {
        // There is none, or it knows no P-384, as most of them: the keystore proper will do.
      }
    }
    generate(spec().build());
  }

  private static KeyGenParameterSpec.Builder spec() {
    return new KeyGenParameterSpec.Builder(ALIAS, KeyProperties.PURPOSE_SIGN)
        .setAlgorithmParameterSpec(new ECGenParameterSpec(CURVE))
        .setDigests(KeyProperties.DIGEST_SHA256);
  }

  @NewerAndroid(Build.VERSION_CODES.P)
  private static KeyGenParameterSpec.Builder strongBox(KeyGenParameterSpec.Builder builder) {
    return builder.setIsStrongBoxBacked(true);
  }

  private static void generate(KeyGenParameterSpec spec) throws GeneralSecurityException {
    KeyPairGenerator generator =
        KeyPairGenerator.getInstance(KeyProperties.KEY_ALGORITHM_EC, STORE);
    generator.initialize(spec);
    generator.generateKeyPair();
  }

  @Override
  public byte[] publicPem() {
    return publicPem.clone();
  }

  @Override
  public byte[] sign(byte[] message) throws GeneralSecurityException {
    Signature signature = Signature.getInstance(ALGORITHM);
    signature.initSign(privateKey);
    signature.update(message);
    return signature.sign();
  }

  /** Where the key is, in words. */
  String place() {
    try {
      KeyInfo info =
          KeyFactory.getInstance(privateKey.getAlgorithm(), STORE)
              .getKeySpec(privateKey, KeyInfo.class);
      if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
        return place(info);
      }
      return inHardware(info) ? "In this phone's secure hardware." : "In Android's keystore.";
    } catch (GeneralSecurityException unknown) {
      return "In Android's keystore.";
    }
  }

  @NewerAndroid(Build.VERSION_CODES.S)
  private static String place(KeyInfo info) {
    switch (info.getSecurityLevel()) {
      case KeyProperties.SECURITY_LEVEL_STRONGBOX:
        return "In this phone's security chip (StrongBox).";
      case KeyProperties.SECURITY_LEVEL_TRUSTED_ENVIRONMENT:
        return "In this phone's secure hardware.";
      default:
        return "In Android's keystore.";
    }
  }

  // What there is before Android 12.
  @SuppressWarnings("deprecation")
  private static boolean inHardware(KeyInfo info) {
    return info.isInsideSecureHardware();
  }
}
