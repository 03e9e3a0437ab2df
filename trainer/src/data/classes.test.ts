/** Which output of a classifier a label stands for: by name where there are names, and what cannot be told is refused. */
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../errors.js';
import { classesOf } from './classes.js';

const animals = { name: 'animals', labels: Uint8Array.of(0, 1, 2, 2), classNames: ['cat', 'dog', 'fox'] };
const numbered = { name: 'numbered', labels: Uint8Array.of(2, 0, 1) };

describe('a test set', () => {
  it('is matched by the names of its classes, which it numbers by itself', () => {
    const { names, indicesOf } = classesOf(animals);
    expect(names).toEqual(['cat', 'dog', 'fox']);
    expect([...indicesOf({ name: 'test', labels: Uint8Array.of(0, 1, 1), classNames: ['dog', 'fox'] }, 'test')]).toEqual([1, 2, 2]);
  });

  it('is matched by label where one of the sets has no names', () => {
    expect([...classesOf(animals).indicesOf(numbered, 'test')]).toEqual([2, 0, 1]);
    expect([...classesOf(numbered).indicesOf(animals, 'test')]).toEqual([0, 1, 2, 2]);
  });

  it('is matched by the folders\' names where classes are renamed', () => {
    const { names, indicesOf } = classesOf(animals, ['Katze', 'Hund', 'Fuchs']);
    expect(names).toEqual(['Katze', 'Hund', 'Fuchs']);
    expect([...indicesOf({ name: 'test', labels: Uint8Array.of(0, 1), classNames: ['dog', 'fox'] }, 'test')]).toEqual([1, 2]);
  });

  it('is refused with a class that was not trained, or without labels', () => {
    expect(() => classesOf(animals).indicesOf({ name: 'test', labels: Uint8Array.of(0, 1), classNames: ['dog', 'wolf'] }, 'test')).toThrow(/test: sample 1 is of the class wolf, of which animals has no samples; its classes are cat, dog, fox\./);
    expect(() => classesOf(animals).indicesOf({ name: 'test', labels: null }, 'test')).toThrow(/test: test has no labels.*test\.labels/);
  });
});

describe('names that are given', () => {
  it('order the outputs where they are the set\'s own', () => {
    const { names, indicesOf } = classesOf(animals, ['fox', 'dog', 'cat']);
    expect(names).toEqual(['fox', 'dog', 'cat']);
    expect([...indicesOf(animals, 'data')]).toEqual([2, 1, 0, 0]);
    expect([...indicesOf({ name: 'test', labels: Uint8Array.of(0, 1), classNames: ['dog', 'fox'] }, 'test')]).toEqual([1, 0]);
  });

  it('are refused where only some are, with both lists', () => {
    for (const given of [['cat', 'dog', 'wolf'], ['cat', 'dog'], ['cat', 'dog', 'fox', 'wolf'], ['cat', 'cat', 'dog']]) {
      expect(() => classesOf(animals, given)).toThrow(new ConfigError(`classNames = ${given.join(', ')}, but the classes of animals are cat, dog, fox. Give these names in any order, or other names for all of them, or leave classNames out.`));
    }
  });

  it('name labels that have no names', () => {
    expect(classesOf(numbered, ['a', 'b', 'c']).names).toEqual(['a', 'b', 'c']);
    expect(() => classesOf(numbered, ['a', 'b'])).toThrow(/sample 0 of numbered has the label 2, out of the range of classNames/);
  });
});
