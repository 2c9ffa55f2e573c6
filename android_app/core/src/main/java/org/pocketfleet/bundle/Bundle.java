package org.pocketfleet.bundle;

import java.io.File;
import java.io.FileInputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.pocketfleet.Hex;
import org.pocketfleet.tensor.NarrowTensors;
import org.pocketfleet.tensor.SafeTensors;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.tensor.TensorFileException;

/**
 * What crosses from export to clients: a directory, or the zip of one, with a trainable model and
 * what there is to know about it ({@code docs/bundle.md}).
 *
 * <p>Every byte that {@link #read} returns was hashed and compared with the manifest.
 */
public final class Bundle {
  /** The model's file. */
  public static final String MODEL = "model.tflite";

  /** The file of the frozen base, where there is one. */
  public static final String BASE = "base.tflite";

  static final String MANIFEST = "manifest.json";
  static final String SIGNATURE = "manifest.sig";
  private static final String INITIAL = "initial.safetensors";

  private final String place;
  private final BundleFiles files;
  private final byte[] manifestBytes;
  private final Manifest manifest;

  private Bundle(String place, BundleFiles files) throws BundleException {
    this.place = place;
    this.files = files;
    ByteBuffer text = files.read(MANIFEST, Manifest.MAX_BYTES);
    this.manifestBytes = bytes(text);
    this.manifest = Manifest.read(ByteBuffer.wrap(manifestBytes));
  }

  /**
   * Opens a bundle, and checks its manifest and signature.
   *
   * @param path a directory or a zip
   * @param trustedKey PEM of the public key that must have signed it; null: any or no signature
   * @throws NewerBundleException its format came after this version
   * @throws BundleFormatException there is no bundle
   * @throws BundleSignatureException the trusted key did not sign it
   */
  public static Bundle load(File path, String trustedKey) throws BundleException {
    if (!path.exists()) {
      throw new BundleFormatException(
          path + ": no such bundle; make one with `pocketfleet export`");
    }
    return open(
        path.toString(),
        () ->
            path.isDirectory()
                ? new DirectoryFiles(path)
                : new ZipFiles(() -> new FileInputStream(path)),
        trustedKey);
  }

  /**
   * Opens a bundle's zip that is in memory; otherwise like {@link #load}.
   *
   * @param zip from position to limit; it must not change as long as the bundle is in use
   * @param place what it is called in errors
   */
  static Bundle ofZip(ByteBuffer zip, String place, String trustedKey) throws BundleException {
    return open(place, () -> new ZipFiles(() -> new BufferStream(zip)), trustedKey);
  }

  /** Finds the files of a bundle. */
  private interface Opener {
    BundleFiles open() throws BundleException;
  }

  private static Bundle open(String place, Opener opener, String trustedKey)
      throws BundleException {
    Bundle bundle;
    try {
      bundle = new Bundle(place, opener.open());
    } catch (NewerBundleException newer) {
      throw new NewerBundleException(place + ": " + newer.getMessage());
    } catch (BundleFormatException error) {
      throw new BundleFormatException(place + ": " + error.getMessage());
    } catch (BundleException error) {
      throw new BundleFormatException(place + ": not a bundle: " + error.getMessage());
    }
    if (trustedKey != null) {
      bundle.verifySignature(trustedKey);
    }
    return bundle;
  }

  /** What it says about itself. */
  public Manifest manifest() {
    return manifest;
  }

  /**
   * Hash of the manifest, which holds the hashes of all other files: it stands for the bundle. 64
   * hexadecimal digits.
   */
  public String sha256() {
    return Hex.sha256(ByteBuffer.wrap(manifestBytes));
  }

  /**
   * Reads a file that the manifest lists.
   *
   * @return the bytes, whose size and hash were checked, in a direct buffer; those of a directory
   *     are mapped into memory
   * @throws BundleAlteredException the file is missing, truncated or changed, or is not listed
   */
  public ByteBuffer read(String name) throws BundleException {
    FileEntry entry = manifest.files().get(name);
    if (entry == null) {
      throw new BundleAlteredException(place + ": the manifest lists no file " + name);
    }
    ByteBuffer data;
    try {
      data = files.read(name, entry.bytes());
    } catch (BundleException error) {
      throw new BundleAlteredException(place + ": " + error.getMessage());
    }
    if (data.remaining() != entry.bytes()) {
      throw new BundleAlteredException(
          String.format(
              Locale.ROOT,
              "%s: %s has %d bytes, the manifest says %d",
              place,
              name,
              data.remaining(),
              entry.bytes()));
    }
    if (!Hex.sha256(data).equals(entry.sha256())) {
      throw new BundleAlteredException(
          place + ": " + name + " was altered: its SHA-256 is not the manifest's");
    }
    return data;
  }

  /**
   * Initial values of all state variables by path, in the manifest's order.
   *
   * @throws BundleAlteredException the file is damaged or does not fit the manifest
   */
  public Map<String, Tensor> initial() throws BundleException {
    Map<String, int[]> shapes = new LinkedHashMap<>();
    for (Variable variable : manifest.variables().values()) {
      shapes.put(variable.path(), variable.shape());
    }
    try {
      return NarrowTensors.decode(SafeTensors.read(read(INITIAL)), shapes);
    } catch (TensorFileException error) {
      throw new BundleAlteredException(
          place
              + ": "
              + INITIAL
              + " does not hold the variables that the manifest lists: "
              + error.getMessage());
    }
  }

  /**
   * The PEM of the public key that signed it; null: it is unsigned. A good signature by an unknown
   * key proves nothing.
   *
   * @throws BundleSignatureException there is a signature, and it does not fit
   */
  public String signer() throws BundleException {
    byte[] key = signingKey();
    return key == null ? null : SignatureFile.pem(key);
  }

  /**
   * Checks every file against the manifest, the initial values' names and shapes, and the
   * signature.
   *
   * @param trustedKey PEM of the public key that must have signed it; null: any or no signature
   * @throws BundleAlteredException something does not fit; the message names the file
   */
  public void verify(String trustedKey) throws BundleException {
    Set<String> unlisted = new TreeSet<>(files.names());
    unlisted.removeAll(manifest.files().keySet());
    unlisted.removeAll(Arrays.asList(MANIFEST, SIGNATURE));
    if (!unlisted.isEmpty()) {
      throw new BundleAlteredException(
          place + ": holds " + unlisted.iterator().next() + ", which the manifest does not list");
    }
    if (trustedKey != null) {
      verifySignature(trustedKey);
    } else {
      signingKey();
    }
    for (String name : manifest.files().keySet()) {
      read(name);
    }
    initial();
  }

  /** All files, checked, by name: those that the manifest lists, and it and its signature. */
  Map<String, ByteBuffer> contents() throws BundleException {
    Map<String, ByteBuffer> contents = new LinkedHashMap<>();
    for (String name : manifest.files().keySet()) {
      contents.put(name, read(name));
    }
    if (files.names().contains(SIGNATURE)) {
      contents.put(SIGNATURE, files.read(SIGNATURE, SignatureFile.MAX_BYTES));
    }
    contents.put(MANIFEST, ByteBuffer.wrap(manifestBytes));
    return Collections.unmodifiableMap(contents);
  }

  private void verifySignature(String trustedKey) throws BundleException {
    byte[] trusted;
    try {
      trusted = SignatureFile.publicKey(trustedKey);
    } catch (IllegalArgumentException error) {
      throw new BundleSignatureException(
          "the trusted key cannot be used: it is " + error.getMessage());
    }
    byte[] signer = signingKey();
    if (signer == null) {
      throw new BundleSignatureException(place + ": not signed, and a trusted key is required");
    }
    if (!Arrays.equals(signer, trusted)) {
      throw new BundleSignatureException(
          String.format(
              Locale.ROOT,
              "%s: signed by %s, not by the trusted %s",
              place,
              SignatureFile.fingerprint(signer),
              SignatureFile.fingerprint(trusted)));
    }
  }

  private byte[] signingKey() throws BundleException {
    if (!files.names().contains(SIGNATURE)) {
      return null;
    }
    try {
      SignatureFile signature = SignatureFile.read(files.read(SIGNATURE, SignatureFile.MAX_BYTES));
      signature.verify(manifestBytes);
      return signature.key();
    } catch (BundleException error) {
      throw new BundleSignatureException(place + ": " + error.getMessage());
    }
  }

  private static byte[] bytes(ByteBuffer data) {
    byte[] bytes = new byte[data.remaining()];
    data.duplicate().get(bytes);
    return bytes;
  }
}
