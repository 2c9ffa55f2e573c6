package org.pocketfleet.app;

import android.security.keystore.KeyGenParameterSpec;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.InvalidAlgorithmParameterException;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyPairGeneratorSpi;
import java.security.KeyStoreSpi;
import java.security.NoSuchAlgorithmException;
import java.security.Provider;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Collections;
import java.util.Date;
import java.util.Enumeration;

/**
 * What {@link KeystoreNodeKey} sees of Android's keystore, which Robolectric lacks: keys are made
 * by specification and alias, in software. Like most phones' it has no StrongBox for P-384.
 */
// The keystore's interface has Date in it.
@SuppressWarnings("JavaUtilDate")
public final class FakeKeystore extends Provider {
  static final String NAME = "AndroidKeyStore";
  private static final long serialVersionUID = 1;
  private static KeyPair pair;

  private FakeKeystore() {
    super(NAME, 1.0, "for tests");
    put("KeyStore.AndroidKeyStore", Store.class.getName());
    put("KeyPairGenerator.EC", Generator.class.getName());
  }

  /** Makes it Android's keystore, with no key in it. */
  static void install() {
    pair = null;
    Security.addProvider(new FakeKeystore());
  }

  /** Makes keys. */
  public static final class Generator extends KeyPairGeneratorSpi {
    private KeyGenParameterSpec wanted;

    @Override
    public void initialize(AlgorithmParameterSpec parameters, SecureRandom random)
        throws InvalidAlgorithmParameterException {
      wanted = (KeyGenParameterSpec) parameters;
      if (android.os.Build.VERSION.SDK_INT >= 28 && wanted.isStrongBoxBacked()) {
        throw new InvalidAlgorithmParameterException("StrongBox: P-256 only");
      }
    }

    @Override
    public void initialize(int bits, SecureRandom random) {
      throw new UnsupportedOperationException();
    }

    @Override
    public KeyPair generateKeyPair() {
      try {
        // Other providers come before this one.
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(wanted.getAlgorithmParameterSpec());
        pair = generator.generateKeyPair();
        return pair;
      } catch (java.security.GeneralSecurityException error) {
        throw new IllegalStateException(error);
      }
    }
  }

  /** Keeps one key. */
  public static final class Store extends KeyStoreSpi {
    @Override
    public Key engineGetKey(String alias, char[] password) {
      return pair == null ? null : pair.getPrivate();
    }

    @Override
    public Certificate engineGetCertificate(String alias) {
      return pair == null ? null : new Bare(pair.getPublic());
    }

    @Override
    public boolean engineContainsAlias(String alias) {
      return pair != null;
    }

    @Override
    public Certificate[] engineGetCertificateChain(String alias) {
      return new Certificate[0];
    }

    @Override
    public Date engineGetCreationDate(String alias) {
      return new Date();
    }

    @Override
    public void engineSetKeyEntry(String alias, Key key, char[] password, Certificate[] chain) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void engineSetKeyEntry(String alias, byte[] key, Certificate[] chain) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void engineSetCertificateEntry(String alias, Certificate certificate) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void engineDeleteEntry(String alias) {
      pair = null;
    }

    @Override
    public Enumeration<String> engineAliases() {
      return Collections.emptyEnumeration();
    }

    @Override
    public int engineSize() {
      return pair == null ? 0 : 1;
    }

    @Override
    public boolean engineIsKeyEntry(String alias) {
      return pair != null;
    }

    @Override
    public boolean engineIsCertificateEntry(String alias) {
      return false;
    }

    @Override
    public String engineGetCertificateAlias(Certificate certificate) {
      return null;
    }

    @Override
    public void engineStore(OutputStream stream, char[] password) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void engineLoad(InputStream stream, char[] password) throws NoSuchAlgorithmException {}
  }

  /** A certificate of which only the key is looked at. */
  private static final class Bare extends Certificate {
    private static final long serialVersionUID = 1;
    private final transient PublicKey key;

    Bare(PublicKey key) {
      super("bare");
      this.key = key;
    }

    @Override
    public byte[] getEncoded() {
      return new byte[0];
    }

    @Override
    public void verify(PublicKey by) {}

    @Override
    public void verify(PublicKey by, String provider) {}

    @Override
    public String toString() {
      return "bare";
    }

    @Override
    public PublicKey getPublicKey() {
      return key;
    }
  }
}
