package org.pocketfleet.transport;

import java.io.File;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.interfaces.ECPrivateKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.EnumSet;
import java.util.Set;
import org.pocketfleet.Pem;
import org.pocketfleet.state.StateException;

/**
 * A key pair in a PEM file (PKCS #8) that only its owner can read; the same file that the Python
 * client keeps.
 */
public final class FileNodeKey implements NodeKey {
  private static final String ALGORITHM = "SHA256withECDSA";

  private final byte[] publicPem;
  private final PrivateKey privateKey;

  private FileNodeKey(byte[] point, PrivateKey privateKey) {
    this.publicPem = Pem.encode("PUBLIC KEY", P384.publicKey(point));
    this.privateKey = privateKey;
  }

  /**
   * Reads the key in a file; makes it first if there is none.
   *
   * @throws StateException the file cannot be read or written, is readable by others, or holds
   *     something else
   */
  public static FileNodeKey loadOrCreate(File file) throws StateException {
    Path path = file.toPath();
    byte[] pem;
    Set<PosixFilePermission> mode;
    try {
      if (!Files.exists(path)) {
        create(path);
      }
      pem = Files.readAllBytes(path);
      mode = Files.getPosixFilePermissions(path);
    } catch (IOException error) {
      throw new StateException(
          file + ": cannot keep this client's key there: " + error.getMessage(), error);
    } catch (GeneralSecurityException error) {
      throw new StateException(file + ": cannot make a key: " + error.getMessage(), error);
    }
    mode.removeAll(EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE));
    mode.remove(PosixFilePermission.OWNER_EXECUTE);
    if (!mode.isEmpty()) {
      throw new StateException(
          file + ": others can read this client's private key; run: chmod 600 " + file);
    }
    byte[] der = Pem.decode("PRIVATE KEY", pem);
    if (der == null) {
      throw new StateException(
          file + ": not a private key in PEM form; delete it to get a new one");
    }
    byte[] point = P384.pointOfPrivate(der);
    if (point == null) {
      throw new StateException(
          file + ": the server needs an elliptic-curve key on P-384; delete it to get one");
    }
    try {
      return checked(point, der);
    } catch (GeneralSecurityException error) {
      throw new StateException(file + ": a damaged key; delete it to get a new one", error);
    }
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

  private static FileNodeKey checked(byte[] point, byte[] der) throws GeneralSecurityException {
    KeyFactory factory = KeyFactory.getInstance("EC");
    PublicKey publicKey = factory.generatePublic(new X509EncodedKeySpec(P384.publicKey(point)));
    FileNodeKey key = new FileNodeKey(point, factory.generatePrivate(new PKCS8EncodedKeySpec(der)));
    byte[] probe = "pocketfleet".getBytes(StandardCharsets.US_ASCII);
    Signature signature = Signature.getInstance(ALGORITHM);
    signature.initVerify(publicKey);
    signature.update(probe);
    if (!signature.verify(key.sign(probe))) {
      throw new GeneralSecurityException("its two halves do not belong together");
    }
    return key;
  }

  private static void create(Path path) throws IOException, GeneralSecurityException {
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp384r1"));
    KeyPair pair = generator.generateKeyPair();
    byte[] scalar = unsigned(((ECPrivateKey) pair.getPrivate()).getS());
    byte[] point = P384.pointOf(pair.getPublic().getEncoded());
    if (point == null) {
      throw new GeneralSecurityException("this Java writes public keys in a form of its own");
    }
    Path temporary = path.resolveSibling(path.getFileName() + ".tmp");
    Files.deleteIfExists(temporary);
    Set<StandardOpenOption> options =
        EnumSet.of(StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW);
    try (FileChannel channel =
        FileChannel.open(
            temporary,
            options,
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
      ByteBuffer pem = ByteBuffer.wrap(Pem.encode("PRIVATE KEY", P384.privateKey(scalar, point)));
      while (pem.hasRemaining()) {
        channel.write(pem);
      }
      channel.force(true);
    }
    Files.move(temporary, path, StandardCopyOption.ATOMIC_MOVE);
  }

  /** Big-endian, of the curve's length. */
  private static byte[] unsigned(BigInteger number) {
    byte[] bytes = number.toByteArray();
    byte[] scalar = new byte[P384.SCALAR_BYTES];
    int length = Math.min(bytes.length, scalar.length);
    System.arraycopy(bytes, bytes.length - length, scalar, scalar.length - length, length);
    return scalar;
  }
}
